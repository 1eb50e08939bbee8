"""Whose turn it is where only so many runs may be in progress at one time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rollout.api.meta import Key

TOLD_PLACES_MAX = 10
"""Places in a line that are told exactly: when one leaves, each of those is a status to write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """How many runs there may be.

    Attributes:
        runs_max: in progress at one time.
        by: the policy that says so.
        namespace: in which namespace; empty: in the whole cluster.
    """

    runs_max: int
    by: str
    namespace: str = ""

    @property
    def where(self) -> str:
        """Where it holds, in words."""
        return f"namespace {self.namespace}" if self.namespace else "the cluster"


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """How a Rollout stands to the limit that keeps it longest.

    Attributes:
        is_next: it may start, as far as limits go.
        running_count: runs in progress under that limit.
        ahead_count: those that start before it.
        limit: the limit.
    """

    is_next: bool
    running_count: int
    ahead_count: int
    limit: Limit

    @property
    def told(self) -> str:
        """That in words."""
        runs = "1 run is" if self.running_count == 1 else f"{self.running_count} runs are"
        most = f"at most {self.limit.runs_max} by {self.limit.by}"
        told = f"{runs} in progress in {self.limit.where} ({most})"
        if self.is_next:
            return f"{told}, and its turn has come"
        if self.ahead_count >= TOLD_PLACES_MAX:
            return f"{told}; over {TOLD_PLACES_MAX} are before it in line"
        return f"{told}; it is number {self.ahead_count + 1} in line"


def turn(
    key: Key, *, line: Sequence[Key], running: Iterable[Key], limits: Sequence[Limit]
) -> Turn | None:
    """How a Rollout stands; None: nothing limits it.

    Args:
        key: the Rollout.
        line: all that wait, who has waited longest first.
        running: all that have a run in progress.
        limits: all there are; of two for one place the smaller one counts.
    """
    mine = [limit for limit in _least(limits).values() if limit.namespace in {"", key.namespace}]
    if not mine:
        return None
    runs = list(running)
    before = list(line[: line.index(key)]) if key in line else [one for one in line if one != key]
    is_next = key in admitted([*before, key], running=runs, limits=limits)
    turns = [
        Turn(
            is_next=is_next,
            running_count=sum(_counts(limit, one) for one in runs),
            ahead_count=sum(_counts(limit, one) for one in before),
            limit=limit,
        )
        for limit in mine
    ]
    return max(turns, key=lambda one: one.running_count + one.ahead_count - one.limit.runs_max)


def admitted(
    line: Sequence[Key], *, running: Iterable[Key], limits: Sequence[Limit]
) -> tuple[Key, ...]:
    """Those in a line that may start now.

    Whoever must wait for a limit of its namespace does not keep others from starting.
    """
    least = _least(limits)
    left = {namespace: limit.runs_max for namespace, limit in least.items()}
    for one in running:
        _take(left, one)
    found = []
    for key in line:
        if all(left.get(place, 1) > 0 for place in ("", key.namespace)):
            _take(left, key)
            found.append(key)
    return tuple(found)


def _least(limits: Sequence[Limit]) -> Mapping[str, Limit]:
    """The smallest limit of each place."""
    found: dict[str, Limit] = {}
    for limit in sorted(limits, key=lambda one: (one.runs_max, one.by)):
        found.setdefault(limit.namespace, limit)
    return found


def _take(left: dict[str, int], key: Key) -> None:
    for place in ("", key.namespace):
        if place in left:
            left[place] -= 1


def _counts(limit: Limit, key: Key) -> bool:
    return limit.namespace in {"", key.namespace}
