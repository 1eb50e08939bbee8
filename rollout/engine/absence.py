"""Runs that lack data: since when, and what ``judge`` says is to come of it.

A gate without data is unknown, and unknown holds. Who asks for more says so, and for how long it
must last: then the run is taken back, or goes on without those gates.
"""

from __future__ import annotations

from collections.abc import Iterator
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
        field: of the run, that keeps since when it is.
        since: since when.
        then: what is to be done about it.
        deadline: how long it must last before, as written.
        because: what is missing, in a sentence.
        gates: names of the gates that lack it; empty: none does.
    """

    field: str
    since: datetime | None
    then: Absence
    deadline: str
    because: str
    gates: frozenset[str]

    @property
    def due(self) -> datetime | None:
        """When something is to be done about it; None: never."""
        if self.since is None or self.then == "Hold" or not self.gates:
            return None
        return self.since + timedelta(seconds=parse_duration(self.deadline))


def noted(o: Observation, run: Run) -> Run:
    """The run, with since when it lacks what; where that is to be waited for, nothing is noted."""
    update: dict[str, datetime | None] = {}
    for lack in _lacks(o, run):
        lost = bool(lack.gates) and lack.then != "Hold"
        since = (lack.since or o.now) if lost else None
        if since != lack.since:
            update[lack.field] = since
    return run.model_copy(update=update) if update else run


def end(o: Observation, run: Run) -> Ending | None:
    """Why the run is to be taken back for want of data; None: it is not."""
    for lack in _lacks(o, run):
        if lack.then == "Rollback" and lack.due is not None and o.now >= lack.due:
            gate = min(lack.gates) if lack.field == "data_lost_since" else ""
            return ending.taken_back(Outcome.ROLLED_BACK, lack.because, now=o.now, gate=gate)
    return None


def excused(o: Observation, run: Run) -> frozenset[str]:
    """Names of the gates that the run goes on without."""
    names = [
        lack.gates
        for lack in _lacks(o, run)
        if lack.then == "Continue" and lack.due is not None and o.now >= lack.due
    ]
    return frozenset().union(*names)


def due(o: Observation, run: Run) -> datetime | None:
    """When something will be done about missing data; None: nothing, or it is being done."""
    times = [lack.due for lack in _lacks(o, run) if lack.due is not None and lack.due > o.now]
    return min(times, default=None)


def told(o: Observation, run: Run) -> str:
    """What missing data will come to, to end a sentence with; empty: nothing but waiting."""
    words = {"Rollback": "goes back", "Continue": "goes on without"}
    said = [
        f"; {words[lack.then]} at {clock_time(lack.due, now=o.now)} if no data comes"
        for lack in _lacks(o, run)
        if lack.due is not None and lack.due > o.now
    ]
    without = sorted(excused(o, run))
    if without:
        said.append(f"; goes on without {' and '.join(without)}, for which there is no data")
    return "".join(said)


def _lacks(o: Observation, run: Run) -> Iterator[_Lack]:
    judge = run.plan.judge
    asked = {gate.name for gate in plans.asked(run.plan, run.step)} if run.step > 0 else set()
    open_ones = {v.name: v for v in o.verdicts if v.verdict is Verdict.UNKNOWN and v.name in asked}
    without = frozenset() if o.metrics_out else {n for n, v in open_ones.items() if v.dataless}
    why = f": {open_ones[min(without)].because}" if without else ""
    yield _Lack(
        field="data_lost_since",
        since=run.data_lost_since,
        then=judge.on_no_data,
        deadline=judge.no_data_deadline,
        because=f"no data for {judge.no_data_deadline}, and judge.onNoData is Rollback{why}",
        gates=frozenset(without),
    )
    yield _Lack(
        field="metrics_lost_since",
        since=run.metrics_lost_since,
        then=judge.on_metrics_outage,
        deadline=judge.metrics_outage_deadline,
        because=(
            f"no answer for {judge.metrics_outage_deadline}, and judge.onMetricsOutage is"
            f" Rollback: {o.metrics_problem}"
        ),
        gates=frozenset(open_ones) if o.metrics_out else frozenset(),
    )
