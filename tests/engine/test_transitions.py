"""Which phase may follow which."""

from __future__ import annotations

import pytest

from rollout.api.phase import Phase
from rollout.engine.transitions import TRANSITIONS, allowed


@pytest.mark.parametrize("phase", list(Phase))
def test_every_phase_has_a_way_out_and_a_way_in(phase: Phase) -> None:
    ways_in = [source for source, targets in TRANSITIONS.items() if phase in targets]

    assert TRANSITIONS[phase]
    assert ways_in or phase is Phase.PENDING


def test_every_transition_has_a_reason_and_none_leads_to_itself() -> None:
    for source, targets in TRANSITIONS.items():
        assert source not in targets
        assert all(targets.values())


def test_staying_is_always_allowed() -> None:
    assert all(allowed(phase, phase) for phase in Phase)


def test_from_every_phase_of_a_run_there_is_a_way_back_to_stable() -> None:
    for phase in Phase:
        reached, new = {phase}, {phase}
        while new:
            new = {target for source in new for target in TRANSITIONS[source]} - reached
            reached |= new
        assert {Phase.STABLE, Phase.ROLLED_BACK} <= reached


def test_what_cannot_be_is_not_allowed() -> None:
    assert not allowed(Phase.STABLE, Phase.BAKING)
    assert not allowed(Phase.ROLLED_BACK, Phase.PROGRESSING)
    assert not allowed(Phase.BAKING, Phase.PROGRESSING)
    assert not allowed(Phase.INVALID, Phase.PROGRESSING)
