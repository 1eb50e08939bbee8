"""Cards, explanations and tables as a person reads them in 80 columns, without colour."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from rollout.api.status import RolloutStatus
from rollout.views import card, subject, tables, why
from rollout.views.glyphs import ASCII, UNICODE
from tests.views.samples import (
    BY_ALICE,
    NOW,
    PROGRESSING,
    ROLLED_BACK,
    STABLE,
    manifest,
    printed,
    run_with,
)


def carded(status: RolloutStatus | None, revision: str = "v3") -> str:
    seen = subject.read(manifest(status, revision=revision))
    return printed(card.card(seen, now=NOW, glyphs=UNICODE))


def explained(status: RolloutStatus | None, revision: str = "v3") -> str:
    return printed(why.why(subject.read(manifest(status, revision=revision)), now=NOW))


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


def test_the_card_can_be_drawn_in_ascii() -> None:
    seen = subject.read(manifest(PROGRESSING))

    text = printed(card.card(seen, now=NOW, glyphs=ASCII))

    assert text.isascii()
    assert "1 % + - [25 %] - pause" in text


def test_why_tells_causes_then_the_future_then_commands() -> None:
    assert (
        explained(PROGRESSING)
        == """\
reviews is Progressing: 25 % of reviews goes to v3 (step 2 of 4); a pause at
12:00:40 UTC if latency passes.
  because gate errors passes: 0.2 % of 1,204 requests failed
  because gate latency cannot say yet: 40 more requests are needed
Next: a pause in 40s, if latency then passes.
You can:
  rollout promote reviews -n shop          end this step now
  rollout promote reviews --full -n shop   go to 100 % at once
  rollout pause reviews -n shop            stay at 25 %
  rollout abort reviews -n shop            take all traffic back to v2"""
    )


def test_why_names_the_gate_that_ended_a_run() -> None:
    text = explained(ROLLED_BACK)

    assert "it was decided at 11:59:59 UTC to go back to v2: gate errors failed" in text
    assert "rollout retry reviews -n shop" in text


def test_why_names_the_person_who_paused() -> None:
    text = explained(run_with(paused=BY_ALICE))

    assert "because alice@example.com paused it at 12:00:00 UTC (lunch)" in text


def test_why_tells_that_the_controller_has_not_looked() -> None:
    assert "the newest edit has not been looked at yet" in explained(None)


def test_why_tells_what_the_revision_was_asked_for() -> None:
    document = manifest(PROGRESSING, annotations={subject.REASON_ANNOTATION: "ticket 4711"})

    text = printed(why.why(subject.read(document), now=NOW))

    assert "because v3 was asked for: ticket 4711" in text


@pytest.mark.parametrize("status", [PROGRESSING, STABLE, ROLLED_BACK, None])
def test_why_takes_at_most_a_dozen_lines(status: RolloutStatus | None) -> None:
    assert len(explained(status).splitlines()) <= 12


def test_the_list_has_sentences_under_its_rows_for_people() -> None:
    subjects = [subject.read(manifest(s)) for s in (PROGRESSING, STABLE)]

    view = tables.rollouts(subjects, namespaces=True, one_line=False, now=NOW, glyphs=UNICODE)

    assert (
        printed(view)
        == """\
NAME          PHASE        REVISION           WEIGHT  AGE
shop/reviews  Progressing  v2 → v3              25 %   3d
    25 % of reviews goes to v3 (step 2 of 4); a pause at 12:00:40 UTC if latency
    passes.
shop/reviews  Stable       v2 (v3 is wanted)       -   3d
    all of reviews is on v2 since 2026-11-23 07:00 UTC."""
    )


def test_a_rollout_without_a_sentence_has_one_row() -> None:
    view = tables.rollouts(
        [subject.read(manifest())], namespaces=False, one_line=False, now=NOW, glyphs=UNICODE
    )

    assert len(printed(view).splitlines()) == 2


def test_the_history_tells_how_each_run_ended_and_by_whom() -> None:
    view = tables.history(subject.read(manifest(PROGRESSING)), now=NOW, glyphs=UNICODE)

    assert (
        printed(view)
        == """\
RUN  REVISION  OUTCOME   REACHED         FAILED  TOOK  ENDED   BY
  2  v2 → v3   Aborted      25 %    96 of 1,204    3m  2h ago  alice@example.com
    aborted by alice@example.com: checkout is slow.
  1  v1 → v2   Promoted    100 %  12 of 120,345   12m  5h ago  the controller
    promoted after 12m."""
    )


def test_ages_follow_the_clock_that_is_handed_in() -> None:
    seen = replace(subject.read(manifest(STABLE)), created_at=NOW - timedelta(hours=1))

    view = tables.rollouts([seen], namespaces=False, one_line=True, now=NOW, glyphs=UNICODE)

    assert " 1h " in printed(view, width=200)
