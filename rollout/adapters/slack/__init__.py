"""Slack: what is posted goes through its own library, what is pressed comes over a socket of ours.

Importing this costs nothing; the library, which takes 0.1 s and 10 MiB, is imported when the first
`SlackChat` is made: a controller without Slack never does.
"""

from __future__ import annotations

from rollout.adapters.slack.client import SlackChat
from rollout.adapters.slack.options import Options

__all__ = ["Options", "SlackChat"]
