"""What a recorded release adds up to: the share seen at each weight, failures, reaction times.

The record is made outside: which weights were written when, and what callers had got by when.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

IN_FORCE_SECONDS = 1.0
"""From a written weight to traffic that follows it: measured well below this in the sandbox."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What callers had got in all, at one moment.

    Attributes:
        at_seconds: since 1970.
        answers: version to answers; the empty version is no version of ours.
        failures: version to failed answers, 5xx and gRPC errors.
        lost_count: requests that got no answer at all.
    """

    at_seconds: float
    answers: Mapping[str, int]
    failures: Mapping[str, int]
    lost_count: int = 0

    @property
    def total(self) -> int:
        """Answers of all versions."""
        return sum(self.answers.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A routing object as it was seen to be written.

    Attributes:
        at_seconds: since 1970, when the watch brought it.
        shares: subset to percent of the traffic, 0 to 100.
    """

    at_seconds: float
    shares: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """A weight that was in force for a while.

    Attributes:
        weight: percent written.
        requests: answers seen while it was in force.
        observed_percent: percent of them from the canary; None when there were none.
    """

    weight: float
    requests: int
    observed_percent: float | None


def sample(counters: Mapping[str, Any], *, at_seconds: float, versions: Sequence[str]) -> Sample:
    """The load generator's counters as a sample; codes are ``200`` or, with gRPC, ``200/13``."""
    answers: dict[str, int] = {}
    failures: dict[str, int] = {}
    for name, codes in counters["answers"].items():
        version = name if name in versions else ""
        answers[version] = answers.get(version, 0) + sum(codes.values())
        bad = sum(count for code, count in codes.items() if _has_failed(code))
        failures[version] = failures.get(version, 0) + bad
    lost = sum(counters["outcomes"].values())
    return Sample(at_seconds=at_seconds, answers=answers, failures=failures, lost_count=lost)


def _has_failed(code: str) -> bool:
    status, _, grpc = code.partition("/")
    return status.startswith("5") or grpc not in {"", "0"}


def rungs(
    writes: Sequence[Written], samples: Sequence[Sample], *, canary: str, until: float
) -> tuple[Rung, ...]:
    """Each weight above 0 that the canary had up to ``until``, with what was seen in traffic.

    Counted from when the weight is in force to the next write; what is written only once more with
    the same weight counts as one.
    """
    return tuple(
        _rung(weight, samples, canary=canary, since=since + IN_FORCE_SECONDS, until=end)
        for weight, since, end in _weights(writes, canary=canary, until=until)
        if weight > 0
    )


def _weights(
    writes: Sequence[Written], *, canary: str, until: float
) -> Iterator[tuple[float, float, float]]:
    """Weight, from when, to when."""
    changes: list[tuple[float, float]] = []
    for written in writes:
        weight = written.shares.get(canary, 0.0)
        if written.at_seconds < until and (not changes or changes[-1][0] != weight):
            changes.append((weight, written.at_seconds))
    for (weight, since), (_, end) in pairwise([*changes, (0.0, until)]):
        yield weight, since, end


def _rung(
    weight: float, samples: Sequence[Sample], *, canary: str, since: float, until: float
) -> Rung:
    inside = [one for one in samples if since <= one.at_seconds <= until]
    if len(inside) < 2:
        return Rung(weight=weight, requests=0, observed_percent=None)
    first, last = inside[0], inside[-1]
    requests = last.total - first.total
    seen = last.answers.get(canary, 0) - first.answers.get(canary, 0)
    observed = 100 * seen / requests if requests else None
    return Rung(weight=weight, requests=requests, observed_percent=observed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """What callers got during a run.

    Attributes:
        canary_requests: answers of the canary.
        canary_failures: failed ones among them.
        outside_failures: failed answers of others, Envoy's own included, and requests without any.
    """

    canary_requests: int
    canary_failures: int
    outside_failures: int


def damage(samples: Sequence[Sample], *, canary: str, since: float, until: float) -> Damage:
    """What callers got between two moments; the samples just outside of them count."""
    before = [one for one in samples if one.at_seconds <= since][-1:] or list(samples[:1])
    after = [one for one in samples if one.at_seconds >= until][:1] or list(samples[-1:])
    if not before:
        return Damage(canary_requests=0, canary_failures=0, outside_failures=0)
    first, last = before[0], after[0]
    failures = {
        version: count - first.failures.get(version, 0) for version, count in last.failures.items()
    }
    outside = sum(count for version, count in failures.items() if version != canary)
    return Damage(
        canary_requests=last.answers.get(canary, 0) - first.answers.get(canary, 0),
        canary_failures=failures.get(canary, 0),
        outside_failures=outside + last.lost_count - first.lost_count,
    )


def returned_at(writes: Sequence[Written], *, canary: str, since: float) -> float | None:
    """When the canary's weight was first seen at 0 after ``since``; None: it never was."""
    return next(
        (w.at_seconds for w in writes if w.at_seconds >= since and not w.shares.get(canary, 0.0)),
        None,
    )


def shares(
    samples: Sequence[Sample], *, version: str, seconds: float, until: float
) -> float | None:
    """Percent of the answers of the last ``seconds`` that came from a version; None: no answer."""
    inside = [one for one in samples if until - seconds <= one.at_seconds <= until]
    if len(inside) < 2 or inside[-1].total == inside[0].total:
        return None
    seen = inside[-1].answers.get(version, 0) - inside[0].answers.get(version, 0)
    return 100 * seen / (inside[-1].total - inside[0].total)
