"""Tables, as a person reads them in 80 columns, without colour."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from rollout.views import subject, tables
from rollout.views.glyphs import UNICODE
from tests.views.samples import NOW, PROGRESSING, STABLE, manifest, printed


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
