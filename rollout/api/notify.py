"""Whom a Rollout tells what happens, and what is still to be told."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from rollout.api.meta import Model, Time

OUTBOX_MAX = 20
"""Messages that wait in a status; when there are more, older ones become one."""


class News(StrEnum):
    """What is worth a message."""

    STARTED = "Started"
    """A run has begun."""
    STEP_BEGAN = "StepBegan"
    """A step has begun."""
    WAITING = "Waiting"
    """The run waits for people: an approval, a pause that nobody has ended, a failing gate that
    holds."""
    APPROVED = "Approved"
    """Somebody approved."""
    REJECTED = "Rejected"
    """Somebody rejected."""
    COMMANDED = "Commanded"
    """Somebody promoted, paused, resumed or aborted."""
    BLOCKED = "Blocked"
    """Something outside must be mended first."""
    ROLLING_BACK = "RollingBack"
    """Traffic is on its way back."""
    PROMOTED = "Promoted"
    """The canary has become the stable revision."""
    ROLLED_BACK = "RolledBack"
    """The run was taken back."""
    ABORTED = "Aborted"
    """Somebody ended the run, and all traffic is back."""
    SUPERSEDED = "Superseded"
    """A newer revision has taken the run's place."""
    MISSED = "Missed"
    """Stands for messages that did not fit any more."""


Newses = Annotated[tuple[News, ...], Field(max_length=16)]
"""Kinds of news."""

WebUrl = Annotated[str, Field(min_length=8, max_length=2048, pattern=r"^https?://[^\s]+$")]


class SlackChannel(Model):
    """A channel of Slack: one thread per run, its head kept up to date."""

    channel: Annotated[str, Field(min_length=1, max_length=80)]
    """The channel's id, such as C0123ABCD, or its name, such as #deploys."""
    news: Newses | None = None
    """What to tell in the thread; the head tells the rest all the same. Absent: everything."""


class HttpSink(Model):
    """An address that is sent JSON by POST."""

    url: WebUrl
    """Where; one that the controller's configuration allows."""
    news: Newses | None = None
    """What to send. Absent: everything."""


class Notify(Model):
    """Whom to tell. Changes act at once, also for a run in progress."""

    slack: SlackChannel | None = None
    """A channel of Slack. Absent: the controller's default channel, if it has one."""
    webhook: HttpSink | None = None
    """An address that gets a plain JSON document."""
    cloud_events: HttpSink | None = None
    """An address that gets CloudEvents 1.0, structured mode."""


class Sink(StrEnum):
    """Where messages go."""

    SLACK = "slack"
    WEBHOOK = "webhook"
    CLOUD_EVENTS = "cloudEvents"


class Telling(Model):
    """One message, from its decision until everybody has been told."""

    id: Annotated[int, Field(ge=1)]
    """Counts the Rollout's messages, so that they are told in order, and each once."""
    news: News
    """What happened."""
    run: Annotated[str, Field(max_length=20)]
    """The run it happened in."""
    revision: Annotated[str, Field(max_length=253)] = ""
    """The revision on trial."""
    step: Annotated[int, Field(ge=0)] = 0
    """The step it happened in."""
    weight: Annotated[float, Field(ge=0, le=100)] = 0
    """Percent of the traffic written for the canary."""
    at: Time
    """When it was decided."""
    message: Annotated[str, Field(max_length=1024)]
    """What happened, in a sentence."""
    by: Annotated[str, Field(max_length=253)] = ""
    """The person whose doing it is; empty: nobody's."""
    still: Annotated[tuple[Sink, ...], Field(max_length=3)]
    """Who has not been told yet."""


class Thread(Model):
    """Where the messages of a run stand in Slack."""

    run: Annotated[str, Field(max_length=20)]
    """The run."""
    channel: Annotated[str, Field(max_length=32)]
    """The channel's id."""
    ts: Annotated[str, Field(max_length=32)]
    """The head message, as Slack names it."""
    asked: Annotated[str, Field(max_length=80)] = ""
    """The channel as the Rollout named it; another one there gets a head of its own."""
