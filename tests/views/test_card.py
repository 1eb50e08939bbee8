"""A Rollout on a card, as a person reads it in 80 columns, without colour."""

from __future__ import annotations

from datetime import timedelta

from rollout.api.notify import News, Sink, Telling
from rollout.api.status import RolloutStatus
from rollout.views import card, subject
from rollout.views.glyphs import ASCII, UNICODE
from tests.views.samples import (
    ASKING,
    NOW,
    PROGRESSING,
    ROLLED_BACK,
    STABLE,
    WAITING,
    manifest,
    printed,
)


def carded(status: RolloutStatus | None, revision: str = "v3") -> str:
    seen = subject.read(manifest(status, revision=revision))
    return printed(card.card(seen, now=NOW, glyphs=UNICODE))


def test_the_card_of_a_run_in_progress() -> None:
    assert (
        carded(PROGRESSING)
        == """\
shop/reviews  Progressing  v2 → v3
25 % of reviews goes to v3 (step 2 of 4); a pause at 12:00:40 UTC if latency
passes.

written   ██████████······························   25 %
observed  █████████▉······························ 24.6 %
ladder    1 % ✓ ─ [25 %] ─ pause ─ 100 % ─ bake 5m
next      a pause in 40s, if latency then passes.
gates     errors   Pass     0.2 % of 1,204 requests failed
          latency  Unknown  40 more requests are needed
runs      v3  Aborted   2h ago  aborted by alice@example.com: checkout is slow
          v2  Promoted  5h ago  promoted after 12m"""
    )


def test_the_card_at_rest_shows_what_may_be_removed() -> None:
    assert (
        carded(STABLE, "v2")
        == """\
shop/reviews  Stable  v2
all of reviews is on v2 since 2026-11-23 07:00 UTC.

next       nothing, until another revision is wanted.
runs       v2  Promoted  5h ago  promoted after 12m
retirable  v1: no traffic any more, safe to remove"""
    )


def test_the_card_keeps_the_gates_of_a_run_that_was_taken_back() -> None:
    text = carded(ROLLED_BACK)

    assert text.startswith("shop/reviews  RolledBack  v2 (v3 is wanted)\n")
    assert "gates  errors   Fail     8.1 % of 86 requests failed" in text


def test_the_card_of_a_rollout_that_nobody_has_looked_at_asks_for_the_controller() -> None:
    assert "the controller has not answered yet; is it running?\n" in carded(None)


def test_the_card_tells_for_whom_a_run_waits_and_who_has_approved() -> None:
    text = carded(WAITING)

    assert (
        """
approval  step 3 waits for 1 more of bob@example.com, group release-managers
          until 2026-11-23 15:58:40 UTC, for 3h58m more; then it goes back
          step 3 was approved by bob@example.com (slack), 2026-11-23 11:59:40
          UTC: seen in staging
"""
        in text
    )


def test_the_card_tells_what_nobody_was_told() -> None:
    telling = Telling(
        id=1,
        news=News.STARTED,
        run="3",
        at=NOW - timedelta(minutes=5),
        message="begun",
        still=(Sink.SLACK, Sink.WEBHOOK),
    )
    late = STABLE.model_copy(update={"outbox": (telling,)})
    fresh = STABLE.model_copy(
        update={"outbox": (telling.model_copy(update={"at": NOW - timedelta(seconds=5)}),)}
    )

    assert (
        "note       1 message still to be told to slack and webhook, since 11:55:00 UTC.\n"
        in carded(late, "v2")
    )
    assert "note" not in carded(fresh, "v2")


def test_what_is_decided_is_shown_without_gates_and_measured_share_where_there_are_none() -> None:
    bare = ASKING.model_copy(update={"gates": (), "observed_weight": None, "approvals": ()})
    seen = subject.read(manifest(WAITING))

    assert (
        printed(card.matter(seen, bare, now=NOW, glyphs=UNICODE))
        == """\
shop/reviews v2 → v3, run 3, step 3 of 4
  now       25 % of the traffic, since 1m20s
  then      100 % of the traffic
  approval  step 3 waits for 2 more of bob@example.com, group release-managers
            until 2026-11-23 15:58:40 UTC, for 3h58m more; then it goes back"""
    )


def test_the_card_can_be_drawn_in_ascii() -> None:
    seen = subject.read(manifest(PROGRESSING))

    text = printed(card.card(seen, now=NOW, glyphs=ASCII))

    assert text.isascii()
    assert "1 % + - [25 %] - pause" in text
