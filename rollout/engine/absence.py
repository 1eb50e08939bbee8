"""Runs that lack data, and what ``judge`` says is to come of it.

A gate without data is unknown, and unknown holds. Who asks for more says so, and for how long it
must last: then the run is taken back, or goes on without those gates. Each gate has its own time,
and begins it anew in each step: what is missing in one says nothing of the next.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from rollout.api.evidence import Verdict
from rollout.api.gate import Absence
from rollout.api.phase import Outcome
from rollout.api.status import Ending, Run
from rollout.base.quantity import parse_duration
from rollout.engine import ending
from rollout.engine import plan as plans
from rollout.engine.conclude import clock_time
from rollout.engine.observation import Observation


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lack:
    """One kind of data that may be missing.

    Attributes:
        field: of ``judge``, that says what is to come of it.
        then: what it says.
        deadline: how long it must last before, as written.
        since: by the gates that lack it, since when.
        because: what is missing, in a sentence; empty: nothing is.
    """

    field: str
    then: Absence
    deadline: str
    since: Mapping[str, datetime]
    because: str

    def due(self, gate: str) -> datetime:
        """When something is to be done about a gate."""
        return self.since[gate] + timedelta(seconds=parse_duration(self.deadline))

    def overdue(self, now: datetime) -> list[str]:
        """The gates that have lacked it for long enough, by name."""
        return sorted(gate for gate in self.since if now >= self.due(gate))


def end(o: Observation, run: Run) -> Ending | None:
    """Why the run is to be taken back for want of data; None: it is not."""
    for lack in _lacks(o, run):
        gates = lack.overdue(o.now)
        if lack.then == "Rollback" and gates:
            because = f"no data for {lack.deadline}, and judge.{lack.field} is Rollback"
            told = f"{because}: {lack.because or _because(o, gates[0])}"
            gate = "" if lack.because else gates[0]
            return ending.taken_back(Outcome.ROLLED_BACK, told, now=o.now, gate=gate)
    return None


def _because(o: Observation, gate: str) -> str:
    return next(v.because for v in o.verdicts if v.name == gate)


def excused(o: Observation, run: Run) -> frozenset[str]:
    """Names of the gates that the run goes on without."""
    lacks = [lack for lack in _lacks(o, run) if lack.then == "Continue"]
    return frozenset(gate for lack in lacks for gate in lack.overdue(o.now))


def due(o: Observation, run: Run) -> datetime | None:
    """When something will be done about missing data; None: nothing, or it is being done."""
    times = [lack.due(gate) for lack in _lacks(o, run) for gate in lack.since]
    return min((at for at in times if at > o.now), default=None)


def told(o: Observation, run: Run) -> str:
    """What missing data will come to, to end a sentence with; empty: nothing but waiting."""
    said = []
    for lack in _lacks(o, run):
        at = min((lack.due(gate) for gate in lack.since), default=o.now)
        if at > o.now:
            then = "goes back" if lack.then == "Rollback" else "goes on without"
            said.append(f"; {then} at {clock_time(at, now=o.now)} if no data comes")
    without = sorted(excused(o, run))
    if without:
        said.append(f"; goes on without {' and '.join(without)}, for which there is no data")
    return "".join(said)


def _lacks(o: Observation, run: Run) -> Iterator[_Lack]:
    """What is missing that is not just to be waited for."""
    judge = run.plan.judge
    if judge.on_no_data == judge.on_metrics_outage == "Hold" or run.step == 0 or run.retreated:
        return
    asked = {gate.name for gate in plans.asked(run.plan, run.step)}
    unknown = [v for v in o.verdicts if v.verdict is Verdict.UNKNOWN and v.name in asked]
    if o.metrics_out_since is not None:
        if judge.on_metrics_outage != "Hold":
            yield _Lack(
                field="onMetricsOutage",
                then=judge.on_metrics_outage,
                deadline=judge.metrics_outage_deadline,
                since={v.name: o.metrics_out_since for v in unknown},
                because=o.metrics_problem,
            )
    elif judge.on_no_data != "Hold":
        yield _Lack(
            field="onNoData",
            then=judge.on_no_data,
            deadline=judge.no_data_deadline,
            since={v.name: v.dataless_since for v in unknown if v.dataless_since is not None},
            because="",
        )
