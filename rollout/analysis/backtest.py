"""How often gates would have taken a good release back: tried on past hours of the same code.

Pods of a revision run the same code. So each of them in turn is taken for a canary, and the others
for stable: whatever takes it back does so without reason. The gate is the very one that judges
runs, on ticks of a minute; beside it stands a rule of thresholds as other controllers have it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from rollout.analysis.cursor import SETTLE_MS
from rollout.analysis.history import PODS_MIN, Minutes
from rollout.analysis.judge import ledger
from rollout.analysis.judge.counted import judge
from rollout.analysis.verdict import Context, GateQuestion
from rollout.api.evidence import ArmCounts, Baseline, GateEvidence, Ledger, Verdict

TICK_MS = 60_000

RULE_SUCCESS_RATIO_MIN = 0.99
"""Of the threshold rule: a minute with fewer good requests, or with none at all, has failed."""

RULE_FAILED_COUNT_MAX = 5
"""So many failed minutes of a release take it back."""

CANARIES_MAX = 8
"""Pods tried in one stretch of time; more say little that these do not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One pod taken for a canary, for one stretch of time.

    Attributes:
        pod: the pod.
        begin_seconds: when the stretch begins, since 1970.
        failed_minutes: how long it took the gate to take it back; None: it did not.
        because: what the gate said then.
        passed_minutes: how long it took until every gate had its proof; None: it had not.
        rule_minutes: how long it took the threshold rule; None: it did not.
    """

    pod: str
    begin_seconds: int
    failed_minutes: int | None
    because: str
    passed_minutes: int | None
    rule_minutes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What came of trials.

    Attributes:
        trials: all of them.
        pods_count: pods that were a canary.
        missing_count: pieces of the past that could not be tried.
        missing: why the newest of those could not.
    """

    trials: tuple[Trial, ...] = ()
    pods_count: int = 0
    missing_count: int = 0
    missing: str = ""

    @property
    def failed(self) -> tuple[Trial, ...]:
        """Those that the gate took back."""
        return tuple(one for one in self.trials if one.failed_minutes is not None)

    @property
    def ruled_out_count(self) -> int:
        """Those that the threshold rule took back."""
        return sum(one.rule_minutes is not None for one in self.trials)

    @property
    def passed_minutes(self) -> tuple[int, ...]:
        """How long those took that had their proof in time, the shortest first."""
        found = (one.passed_minutes for one in self.trials if one.failed_minutes is None)
        return tuple(sorted(one for one in found if one is not None))

    def with_trials(self, trials: Iterable[Trial]) -> Score:
        """The score with more of them."""
        known = (*self.trials, *trials)
        return replace(self, trials=known, pods_count=len({one.pod for one in known}))

    def without(self, why: str) -> Score:
        """The score with a piece of the past that could not be tried."""
        return replace(self, missing_count=self.missing_count + 1, missing=why)


def trials(
    pods: Mapping[str, Minutes],
    gates: Sequence[GateQuestion],
    baseline: Baseline,
    *,
    length_minutes: int,
) -> Iterator[Trial]:
    """Each stretch of so many minutes with each of a few pods as the canary.

    Args:
        pods: what each did in each minute; only those that were there all the time count.
        gates: of errors; any of them takes a release back.
        baseline: what was usual before.
        length_minutes: how long a release takes, at least 1.
    """
    numbers = {minute // length_minutes for minutes in pods.values() for minute in minutes}
    for number in sorted(numbers):
        span = range(number * length_minutes, (number + 1) * length_minutes)
        whole = {pod: one for pod, one in sorted(pods.items()) if all(m in one for m in span)}
        if len(whole) < PODS_MIN:
            continue
        for pod in _chosen(list(whole), number):
            judged = [_Judged(gate, baseline) for gate in gates]
            yield _trial(pod, whole, judged, span=span)


def _chosen(pods: Sequence[str], number: int) -> list[str]:
    """A few pods, others for each stretch."""
    count = min(len(pods), CANARIES_MAX)
    return [pods[(number * count + place) % len(pods)] for place in range(count)]


def _trial(
    pod: str, whole: Mapping[str, Minutes], judged: Sequence[_Judged], *, span: range
) -> Trial:
    others = [one for name, one in whole.items() if name != pod]
    ruled_count, rule, failed, passed, because = 0, None, None, None, ""
    for minutes, minute in enumerate(span, 1):
        requests, bad = whole[pod][minute]
        ruled_count += not requests or 1 - bad / requests < RULE_SUCCESS_RATIO_MIN
        if rule is None and ruled_count >= RULE_FAILED_COUNT_MAX:
            rule = minutes
        if failed is not None:
            continue
        counts = (
            requests,
            sum(one[minute][0] for one in others),
            bad,
            sum(one[minute][1] for one in others),
        )
        for gate in judged:
            gate.count(counts, minutes=minutes)
        fails = [gate for gate in judged if gate.verdict is Verdict.FAIL]
        if fails:
            failed, because = minutes, fails[0].because
        elif passed is None and all(gate.verdict is Verdict.PASS for gate in judged):
            passed = minutes
    return Trial(
        pod=pod,
        begin_seconds=60 * span.start,
        failed_minutes=failed,
        because=because,
        passed_minutes=passed,
        rule_minutes=rule,
    )


class _Judged:
    """A gate in a trial, minute by minute."""

    def __init__(self, gate: GateQuestion, baseline: Baseline) -> None:
        self._gate = gate
        self._baseline = baseline
        self._terms = ledger.terms_of(gate, baseline)
        self._ledger = ledger.with_step(Ledger(), self._terms, newest_ms=0)
        self._canary = self._stable = ArmCounts()
        self.verdict = Verdict.UNKNOWN
        self.because = ""

    def count(self, counts: tuple[int, int, int, int], *, minutes: int) -> None:
        """One more minute, which nothing comes to any more; then a verdict."""
        end_ms = minutes * TICK_MS
        gathered = ledger.gathered(self._ledger, {end_ms: counts}, tick_ms=TICK_MS)
        newest_ms = end_ms + TICK_MS + SETTLE_MS
        self._ledger = ledger.closed(gathered, self._terms, newest_ms=newest_ms, tick_ms=TICK_MS)
        requests, stable_requests, bad, stable_bad = counts
        self._canary = _added(self._canary, requests, bad)
        self._stable = _added(self._stable, stable_requests, stable_bad)
        both = self._canary.requests + self._stable.requests
        verdict = judge(
            self._gate,
            GateEvidence(canary=self._canary, stable=self._stable, ledger=self._ledger),
            context=Context(
                elapsed_seconds=60.0 * minutes,
                weight_percent=min(99.0, 100 * self._canary.requests / both) if both else 0.0,
                proves=self._gate.proven_ratio is not None,
                baseline=self._baseline,
            ),
        )
        self.verdict, self.because = verdict.verdict, verdict.because


def _added(known: ArmCounts, requests: int, bad: int) -> ArmCounts:
    return ArmCounts(requests=known.requests + requests, bad=known.bad + bad)
