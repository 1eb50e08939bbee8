"""Names of Events: what is said twice is one Event."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from rollout.controller.event import EVENT_MESSAGE_LENGTH_MAX, event
from rollout.engine.decision import Happening

ROLLOUT = {"metadata": {"name": "reviews", "namespace": "shop", "uid": "u"}}
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)


def said(message: str, *, now: datetime = NOW, since: datetime | None = None) -> str:
    happening = Happening(type="Warning", reason="AdmissionWarning", message=message)
    return event(ROLLOUT, happening, now=now, since=since).name


def test_said_again_at_another_moment_it_is_another_event_unless_it_counts_from_the_same() -> None:
    assert said("a") == said("a")
    assert said("a") != said("b")
    assert said("a") != said("a", now=LATER)
    assert said("a", since=NOW) == said("a", now=LATER, since=NOW)
    assert said("a", since=NOW) != said("a", since=LATER)


def test_an_event_is_dated_when_it_is_said_and_cut_to_what_the_api_takes() -> None:
    happening = Happening(type="Normal", reason="Started", message="x" * 5000)

    manifest = event(ROLLOUT, happening, now=LATER, since=NOW).manifest

    assert manifest["lastTimestamp"] == "2026-11-23T12:05:00Z"
    assert len(manifest["message"]) == EVENT_MESSAGE_LENGTH_MAX
