"""A stand-in of Slack on one machine, as honest as can be without Slack.

What it does is what Slack's documentation says, and what its own client library and others have
been seen to meet; what is only assumed has a name that says so. Names in it are those of Slack.
"""

from __future__ import annotations

from tests.people.slackworld import presses
from tests.people.slackworld.faults import Fault
from tests.people.slackworld.presses import Delivered, Variety, buttons
from tests.people.slackworld.server import Slack, serving
from tests.people.slackworld.world import APP_TOKEN, BOT_TOKEN, SIGNING_SECRET, Channel, User

__all__ = [
    "APP_TOKEN",
    "BOT_TOKEN",
    "SIGNING_SECRET",
    "Channel",
    "Delivered",
    "Fault",
    "Slack",
    "User",
    "Variety",
    "buttons",
    "presses",
    "serving",
]
