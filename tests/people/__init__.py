"""People who are told and who decide: Slack, as far as it can be had on one machine."""
