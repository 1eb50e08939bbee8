"""Whether proxies use what was written: as istiod knows, else as traffic shows, else as time says.

istiod comes first because it is sure and fast. Traffic is sure too, but slow: it needs requests.
Time alone knows nothing; the settle time is what a person holds to be enough.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from rollout.analysis import band
from rollout.api.status import Run
from rollout.api.traffic import Spread
from rollout.base.quantity import print_duration
from rollout.engine import plan as plans
from rollout.engine.conclude import State, clock_time, percent
from rollout.engine.observation import Observation

RETURN_SECONDS_MAX = 30.0
"""How long the way back waits for proxies: one that never answers must not keep a run open."""

REQUESTS_COUNT_MIN = 100
"""Requests of a step before its share is looked at."""

SCRAPE_SECONDS_MAX = 15.0
"""Prometheus' usual scrape interval: requests of so long before a step count as the step's own."""

SEEN_BY_PROXIES = "SeenByProxies"
SEEN_IN_TRAFFIC = "SeenInTraffic"
SETTLED = "Settled"
SETTLING = "Settling"
WAITING_FOR_PROXIES = "WaitingForProxies"
PROXY_REJECTS = "ProxyRejects"
PROXY_SILENT = "ProxySilent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known, by the surest of those who can tell.

    Attributes:
        is_over: nothing more is waited for.
        is_hindered: proxies are in the way, and the sentence names them.
        state: what the condition TrafficMatches says.
        reason: who can tell, or what is waited for, in one word.
        told: the same in a sentence without a full stop.
        due: when time alone will do; None: it will not.
    """

    is_over: bool
    is_hindered: bool = False
    state: State
    reason: str
    told: str
    due: datetime | None = None


def of_subset(o: Observation, *, since: datetime, sent: bool) -> Known:
    """Whether proxies know the canary's subset and endpoints, there since a moment.

    Args:
        o: all that is known.
        since: when they were first seen to be there.
        sent: a person wants the run to go on: proxies that are in the way get the settle time.
    """
    spread = _spread(o, None)
    if spread is Spread.PENDING and sent and o.propagation.hindered:
        spread = Spread.UNKNOWN
    return _by_proxies(o, spread) or _by_time(o, since=since)


def of_weight(o: Observation, run: Run) -> Known:
    """Whether proxies use the weight of the present step."""
    known = _by_proxies(o, _spread(o, run.weight))
    if known is None and _is_in_traffic(o, run):
        told = f"{percent(_old_weight(run))} would not look so"
        known = Known(is_over=True, state="True", reason=SEEN_IN_TRAFFIC, told=told)
    return known or _by_time(o, since=run.ramped_at or run.step_started_at)


def of_return(o: Observation, *, since: datetime) -> Known:
    """Whether proxies send nothing to the canary any more, to whom nothing is routed since."""
    known = _by_proxies(o, _spread(o, 0.0)) or _by_time(o, since=since)
    if known.is_over or known.due is not None or o.now < _patience_ends_at(since):
        return known
    told = f"{known.told}; not waited for after {print_duration(RETURN_SECONDS_MAX)}"
    return Known(is_over=True, is_hindered=True, state="Unknown", reason=known.reason, told=told)


def return_due(o: Observation, known: Known, *, since: datetime) -> datetime:
    """When the way back is looked at again although nothing happens."""
    return o.now if known.is_over else known.due or _patience_ends_at(since)


def condition(o: Observation, run: Run, *, known: Known) -> tuple[State, str, str]:
    """The condition TrafficMatches of a run whose weight is written in all owned routes."""
    return known.state, known.reason, f"{written(o, run)}; {known.told}"


def written(o: Observation, run: Run) -> str:
    """The weight that was written and the one that was observed, in words."""
    told = f"{percent(run.weight)} is written in every owned route"
    canary, count = _requests(o)
    if not count:
        return told
    return f"{told}, {percent(round(100 * canary / count, 2))} of {count:,} requests was observed"


def _patience_ends_at(since: datetime) -> datetime:
    return since + timedelta(seconds=RETURN_SECONDS_MAX)


def _spread(o: Observation, weight: float | None) -> Spread:
    """How far proxies are with a weight, or (None) the subset; of what was just decided not yet."""
    known = o.propagation
    if known.spread is Spread.UNASKED or known.percent == weight:
        return known.spread
    return Spread.PENDING


def _by_proxies(o: Observation, spread: Spread) -> Known | None:
    """As istiod knows; None when it cannot tell."""
    found = o.propagation
    if spread is Spread.DONE:
        return Known(is_over=True, state="True", reason=SEEN_BY_PROXIES, told=found.message)
    if spread is not Spread.PENDING:
        return None
    if found.spread is not Spread.PENDING or not found.hindered:
        told = "proxies have yet to acknowledge it"  # whatever was known of an earlier weight
        return Known(is_over=False, state="Unknown", reason=WAITING_FOR_PROXIES, told=told)
    reason = PROXY_REJECTS if found.refused else PROXY_SILENT
    return Known(is_over=False, is_hindered=True, state="False", reason=reason, told=found.message)


def _by_time(o: Observation, *, since: datetime) -> Known:
    """As time says."""
    due = since + timedelta(seconds=o.settle_seconds)
    asked = o.propagation.spread is Spread.UNKNOWN and o.propagation.message
    why = f" ({o.propagation.message})" if asked else ""
    if o.now < due:
        told = f"proxies are given until {clock_time(due, now=o.now)}{why}"
        return Known(is_over=False, state="Unknown", reason=SETTLING, told=told, due=due)
    told = f"proxies have had {print_duration(o.settle_seconds)} to take it{why}"
    return Known(is_over=True, state="True", reason=SETTLED, told=told, due=due)


def _requests(o: Observation) -> tuple[int, int]:
    """Requests of the present step: the canary's, and all."""
    if o.evidence is None:
        return 0, 0
    canary, stable = o.evidence.traffic.canary.requests, o.evidence.traffic.stable.requests
    return canary, canary + stable


def _old_weight(run: Run) -> float:
    """The weight before the present one, as the ladder has it."""
    named = (s.top_weight for s in run.plan.strategy.steps[: run.step - 1])
    return max((w for w in named if w is not None and w < run.weight), default=0.0)


def _is_mixed(run: Run) -> bool:
    """Whether the canary gets, or got just now, more or less than its weight says."""
    return run.ramped_at is not None or any(
        plans.match_at(run.plan, step) is not None or plans.mirror_at(run.plan, step) > 0
        for step in (max(run.step - 1, 0), run.step)
    )


def _is_in_traffic(o: Observation, run: Run) -> bool:
    """Whether the share seen in traffic is one of the new weight, and none of the old one.

    Requests from just before the step may be among those counted. So later, when they are few, the
    share may also lie between the two weights, by as much as they explain.

    Where requests go to the canary by a match, or copies do, now or until just now, a share tells
    nothing of the weight; and nothing of the match or the copies, when only they were written.
    """
    if _is_mixed(run):
        return False
    canary, count = _requests(o)
    old, new = _old_weight(run), run.weight
    if count < REQUESTS_COUNT_MIN or new <= old:
        return False
    if canary * 100 <= old * count or band.is_plausible(canary, of_count=count, percent=old):
        return False
    if band.is_plausible(canary, of_count=count, percent=new):
        return True
    passed = (o.now - run.step_started_at).total_seconds()
    late_seconds = SCRAPE_SECONDS_MAX + o.settle_seconds
    if passed < 2 * late_seconds or canary * 100 > new * count:
        return False
    mixed = new - (new - old) * late_seconds / passed
    return canary * 100 >= mixed * count or band.is_plausible(canary, of_count=count, percent=mixed)
