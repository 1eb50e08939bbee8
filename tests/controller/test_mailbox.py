"""Who is to be told of a Rollout, what was told, and what is said where nobody can be."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from rollout.api.meta import Key, Manifest
from rollout.api.notify import News, Sink, Telling, Thread
from rollout.api.status import RolloutStatus
from rollout.controller.mailbox import THREADS_MAX, Mailbox, Reach, notify_of

KEY = Key("shop", "reviews")
PREFIX = "https://hooks.example.com/"
EVERYWHERE = Reach(has_chat=True, hooks=(PREFIX,))


def rollout(notify: Any) -> Manifest:
    return {"metadata": {"name": "reviews", "namespace": "shop"}, "spec": {"notify": notify}}


FULL = rollout(
    {
        "slack": {"channel": "#deploys", "news": ["Promoted"]},
        "webhook": {"url": f"{PREFIX}plain"},
        "cloudEvents": {"url": f"{PREFIX}events", "news": ["Started"]},
    }
)


def telling(number: int) -> Telling:
    at = datetime(2026, 11, 23, tzinfo=UTC)
    return Telling(id=number, news=News.STARTED, run="1", at=at, message="m", still=(Sink.WEBHOOK,))


def test_whoever_is_named_and_can_be_reached_is_told() -> None:
    assert Mailbox(EVERYWHERE).sinks(FULL) == {
        Sink.SLACK: (News.PROMOTED,),
        Sink.WEBHOOK: None,
        Sink.CLOUD_EVENTS: (News.STARTED,),
    }
    assert Mailbox(EVERYWHERE).notes(KEY, FULL) == ()


def test_whoever_cannot_be_reached_is_told_nothing_and_a_note_says_how_to_mend_it() -> None:
    mailbox = Mailbox(Reach())

    assert mailbox.sinks(FULL) == {}
    remedy = "let an operator add how it begins to ROLLOUT_HOOKS"
    no_token = (
        "this controller has no token for Slack; let an operator set ROLLOUT_SLACK_TOKEN_FILE"
    )
    assert [note.message for note in mailbox.notes(KEY, FULL)] == [
        f"spec.notify.slack: {no_token}",
        f"spec.notify.webhook.url is no address we may post to; {remedy}",
        f"spec.notify.cloudEvents.url is no address we may post to; {remedy}",
    ]
    assert {note.reason for note in mailbox.notes(KEY, FULL)} == {"NotTold"}


def test_an_address_that_leaves_what_is_allowed_is_not_allowed() -> None:
    mailbox = Mailbox(Reach(hooks=(f"{PREFIX}rollout/",)))

    assert mailbox.allows(f"{PREFIX}rollout/x")
    assert not mailbox.allows(f"{PREFIX}rollout/../admin")
    assert not mailbox.allows("https://hooks.example.com.evil.example/rollout/")


@pytest.mark.parametrize(
    ("reach", "notify", "channel"),
    [
        (Reach(has_chat=True, default_channel="#all"), {}, "#all"),
        (Reach(has_chat=True, default_channel="#all"), {"slack": {"channel": "#x"}}, "#x"),
        (Reach(has_chat=True), {}, None),
        (Reach(default_channel="#all"), {}, None),
    ],
)
def test_a_rollout_that_names_no_channel_is_told_in_the_default_one(
    reach: Reach, notify: dict[str, Any], channel: str | None
) -> None:
    found = Mailbox(reach).channel(rollout(notify))

    assert (found.channel if found is not None else None) == channel


@pytest.mark.parametrize("notify", [None, [], "x", {"slack": 5}, {"webhook": {"url": "x"}}])
def test_what_cannot_be_read_tells_nobody_and_breaks_nothing(notify: Any) -> None:
    mailbox = Mailbox(EVERYWHERE)

    assert mailbox.sinks(rollout(notify)) == {}
    assert mailbox.notes(KEY, rollout(notify)) == ()


@pytest.mark.parametrize("manifest", [{"metadata": {}}, {"spec": None}, {"spec": "x"}])
def test_a_rollout_without_a_spec_tells_nobody(manifest: Manifest) -> None:
    assert notify_of(manifest) == notify_of(rollout({}))


def test_what_was_told_is_remembered_until_it_is_written_down() -> None:
    mailbox = Mailbox(EVERYWHERE)
    mailbox.tick(KEY, 1, Sink.WEBHOOK)
    mailbox.tick(KEY, 2, Sink.WEBHOOK)

    before = mailbox.post(KEY, FULL, RolloutStatus(outbox=(telling(1), telling(2))))
    after = mailbox.post(KEY, FULL, RolloutStatus(outbox=(telling(2),)))

    assert before.delivered == {(1, Sink.WEBHOOK), (2, Sink.WEBHOOK)}
    assert after.delivered == {(2, Sink.WEBHOOK)}
    assert mailbox.delivered(Key("shop", "other")) == frozenset()


def test_a_new_term_remembers_nothing_and_neither_does_a_rollout_that_is_gone() -> None:
    mailbox = Mailbox(EVERYWHERE)
    for end in (mailbox.begin, lambda: mailbox.forget(KEY)):
        mailbox.tick(KEY, 1, Sink.WEBHOOK)
        mailbox.trouble(KEY, Sink.WEBHOOK, "no")
        end()

        assert mailbox.delivered(KEY) == frozenset()
        assert mailbox.notes(KEY, FULL) == ()


def test_trouble_is_told_in_a_note_until_it_is_over_and_is_news_once() -> None:
    mailbox = Mailbox(EVERYWHERE)

    assert mailbox.trouble(KEY, Sink.WEBHOOK, "it answered 401")
    assert not mailbox.trouble(KEY, Sink.WEBHOOK, "it answered 401")
    (note,) = mailbox.notes(KEY, FULL)
    assert note.message == "webhook is not told: it answered 401"
    assert mailbox.trouble(KEY, Sink.WEBHOOK, "")
    assert not mailbox.trouble(KEY, Sink.WEBHOOK, "")
    assert mailbox.notes(KEY, FULL) == ()


def test_threads_of_a_few_runs_are_known_and_a_lost_one_is_counted() -> None:
    mailbox = Mailbox(EVERYWHERE)
    for number in range(THREADS_MAX + 2):
        mailbox.found(KEY, Thread(run=str(number), channel="C1", ts=f"{number}.0"))

    assert mailbox.thread(KEY, "0") is None
    known = mailbox.thread(KEY, "5")
    assert known is not None
    assert known.ts == "5.0"
    assert not mailbox.was_lost(KEY, "5")
    mailbox.lost(KEY, "5")
    assert mailbox.thread(KEY, "5") is None
    assert mailbox.lost_count(KEY, "5") == 1
