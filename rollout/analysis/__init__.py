"""Raw samples in, verdicts out; pure."""
