"""Colours."""

from __future__ import annotations

import pytest

from rollout.api.evidence import Verdict
from rollout.api.phase import Outcome, Phase
from rollout.views import paint


@pytest.mark.parametrize("phase", Phase)
def test_every_phase_is_its_own_word_in_a_colour(phase: Phase) -> None:
    painted = paint.phase(phase)

    assert painted.plain == phase
    assert painted.style


@pytest.mark.parametrize("verdict", Verdict)
def test_every_verdict_is_its_own_word_in_a_colour(verdict: Verdict) -> None:
    assert paint.verdict(verdict).plain == verdict


@pytest.mark.parametrize("outcome", Outcome)
def test_every_outcome_is_its_own_word_in_a_colour(outcome: Outcome) -> None:
    assert paint.outcome(outcome).plain == outcome
