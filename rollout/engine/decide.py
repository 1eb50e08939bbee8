"""The one function that decides: pure, total, and without memory of its own."""

from __future__ import annotations

from rollout.engine import commands, ending, hooking, running, starting, telling
from rollout.engine.decision import Decision
from rollout.engine.observation import Observation


def decide(o: Observation) -> Decision:
    """What the world should be, given all that may be known.

    Total: every observation has a decision. Repeatable: the same observation gives the same one.
    Level: in the desired state it asks for nothing. It never skips a rung: one call begins at most
    one step.
    """
    return telling.told(o, hooking.afterwards(o, _decided(o)))


def _decided(o: Observation) -> Decision:
    if o.deleting:
        why = f"Rollout {o.key.name} is being deleted"
        return ending.let_go(o, answers=commands.all_ignored(o, why))
    run = o.status.run
    if run is None or run.ended_at is not None:
        return starting.at_rest(o)
    return running.in_run(o, run)
