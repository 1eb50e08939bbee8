"""The guard of a run: which of its fields are ours, whether they stand, and when they come off."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from rollout.api.rollout import Plan
from rollout.api.status import GuardedField, Run
from rollout.api.traffic import Note, Problem
from rollout.engine.decision import Guarding, Policies
from rollout.engine.observation import Observation

PATIENCE_SECONDS = 600.0
"""How long an ending waits for a guard to be taken off: a rule that nobody can read, or that may
not be written, must not keep a run from its end."""

UNGUARDED = "Unguarded"

FULL_PERCENT = 100.0

_UNREADABLE = frozenset({"BrokenManifest", "HostMismatch"})
"""Problems that may hide a rule in which our guard stands."""


def ours(o: Observation, plan: Plan, *, canary: str) -> tuple[GuardedField, ...]:
    """The fields that a run will write: those that the canary's subset has not of its own.

    It is decided once, before the first write: later an equal value could be anybody's.
    """
    fields: tuple[GuardedField, ...] = ("outlierDetection", "connectionPool")
    declared = plan.guard.policies()
    return tuple(f for f in fields if f in declared and _standing(o, canary, f) is None)


def wanted(o: Observation, run: Run) -> Guarding | None:
    """What is to stand while the canary may get anything; None: nothing is touched.

    A canary that had to be left gets nothing: its guard stays, but nobody waits for it.
    """
    canary = run.canary_revision
    if not run.guarded or o.subsets.problems or canary not in o.subsets.policies:
        return None
    if run.retreated and o.ready.get(canary, 0) == 0:
        return None
    full = run.plan.guard.policies()
    return _guarding(run, {field: full[field] for field in run.guarded if field in full})


def off(run: Run) -> Guarding | None:
    """What is to stand when the run is over: nothing of ours; None: nothing ever did."""
    return _guarding(run, dict.fromkeys(run.guarded)) if run.guarded else None


def stands(o: Observation, run: Run) -> bool:
    """Whether the whole guard is there, as it was declared."""
    return not _missing(o, run)


def settled_since(o: Observation, run: Run) -> datetime | None:
    """Since when all that the canary needs has been there, its guard among it.

    None: somebody has taken the guard off again; until it stays nothing settles.
    """
    if stands(o, run):
        return run.settled_since or o.now
    return None if was_touched(o) else o.now


def was_touched(o: Observation) -> bool:
    """Whether a guard that does not stand has been written in this run before."""
    run = o.status.run
    assert run is not None, "a run in progress has been written down"
    return bool(run.weight or run.settled_since) or o.status.reason == UNGUARDED


def remains(o: Observation, run: Run) -> bool:
    """Whether anything of the guard is there, or may be where nobody can read it."""
    return _left(o, run) or in_the_way(o, run) is not None


def in_the_way(o: Observation, run: Run) -> Problem | None:
    """What keeps the guard from being taken off; None: nothing that is known."""
    if not run.guarded:
        return None
    left = _left(o, run)
    reasons = {"WriteDenied"} if left else _UNREADABLE
    return next((p for p in o.subsets.problems if p.reason in reasons), None)


def is_harmless(run: Run, problem: Problem) -> bool:
    """Whether a problem keeps nothing from going on: a guard that may not be written, at 100 %.

    Nothing rises any more, and the run's end is what would take it off.
    """
    return problem.reason == "WriteDenied" and run.weight >= FULL_PERCENT


def told_missing(o: Observation, run: Run) -> str:
    """That somebody has taken the guard off or changed it, for a sentence; empty: nobody has."""
    missing = _missing(o, run)
    return f"{' and '.join(missing)} of subset {_place(o, run)}" if missing else ""


def notes(o: Observation, run: Run) -> Iterator[Note]:
    """What of the guard does not act, and why."""
    known = o.subsets.policies.get(run.canary_revision)
    for field in run.plan.guard.policies() if known else ():
        if field not in run.guarded and _standing(o, run.canary_revision, field) is not None:
            yield Note(
                reason="GuardNotNeeded",
                message=f"subset {_place(o, run)} has {field} of its own; it is kept, and that of "
                "spec.guard is not written",
            )
    if known and run.guarded and known.fields.get("portLevelSettings"):
        yield Note(
            reason="GuardPassedBy",
            message=f"subset {_place(o, run)} has portLevelSettings; for those ports they stand in "
            f"place of {' and '.join(run.guarded)} of spec.guard",
        )


def _guarding(run: Run, policies: Policies) -> Guarding:
    return Guarding(
        host=run.plan.host,
        traffic=run.plan.traffic,
        subset=run.canary_revision,
        policies=policies,
    )


def _standing(o: Observation, subset: str, field: str) -> object:
    known = o.subsets.policies.get(subset)
    return known.fields.get(field) if known else None


def _missing(o: Observation, run: Run) -> list[str]:
    full = run.plan.guard.policies() if run.guarded else {}
    return [f for f in run.guarded if _standing(o, run.canary_revision, f) != full.get(f)]


def _left(o: Observation, run: Run) -> bool:
    return any(_standing(o, run.canary_revision, f) is not None for f in run.guarded)


def _place(o: Observation, run: Run) -> str:
    known = o.subsets.policies.get(run.canary_revision)
    where = f" in DestinationRule {known.destination_rule}" if known else ""
    return f"{run.canary_revision}{where}"
