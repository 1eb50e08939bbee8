"""However often and whenever somebody looks, the evidence comes to the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rollout.analysis import evidence, query
from rollout.analysis.sample import Series
from rollout.api.evidence import RunEvidence
from tests.analysis.observed import ERRORS, STEP_MS, absorb, ms, requests, series

SCRAPES = 16
FIRST_LOOK_SECONDS = 60.0
LAST_LOOK_SECONDS = 190.0
KINDS = (("v1", "200"), ("v2", "200"), ("v2", "503"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """One scrape target: when it is scraped, when the samples show, and what they hold."""

    pod: str
    offset_seconds: float
    delay_seconds: float
    scrapes: tuple[int, ...]
    values: tuple[tuple[int | None, ...], ...]

    def seen(self, since: float, until: float) -> list[Series]:
        """Its series in an answer at ``until`` with a window that begins at ``since``."""
        stamps = [index * STEP_MS / 1000 + self.offset_seconds for index in self.scrapes]
        found = []
        for (version, code), values in zip(KINDS, self.values, strict=True):
            points = [
                (at, float(value))
                for at, value in zip(stamps, (values[i] for i in self.scrapes), strict=True)
                if value is not None and since <= at and at + self.delay_seconds <= until
            ]
            if points:
                found.append(series(version, code, *points, pod=self.pod))
        return found


@st.composite
def proxies(draw: st.DrawFn, pod: str) -> Proxy:
    missed = draw(st.sets(st.integers(0, SCRAPES - 1), max_size=4))
    restarts = draw(st.sets(st.integers(1, SCRAPES - 1), max_size=2))
    values = []
    for _ in KINDS:
        birth = draw(st.integers(0, SCRAPES))
        total, counted = draw(st.integers(0, 100)), []
        for index in range(SCRAPES):
            total = draw(st.integers(0, 9)) + (0 if index in restarts else total)
            counted.append(total if index >= birth else None)
        values.append(tuple(counted))
    return Proxy(
        pod=pod,
        offset_seconds=draw(st.integers(0, 99)) / 10,
        delay_seconds=draw(st.integers(0, 9)),
        scrapes=tuple(index for index in range(SCRAPES) if index not in missed),
        values=tuple(values),
    )


WORLDS = st.integers(2, 3).flatmap(
    lambda count: st.tuples(*(proxies(f"client-{number}") for number in range(count)))
)
LOOKS = st.lists(
    st.integers(round(FIRST_LOOK_SECONDS), round(LAST_LOOK_SECONDS)), min_size=1, max_size=12
).map(sorted)


def looked_at(world: Sequence[Proxy], known: RunEvidence, until: float) -> RunEvidence:
    """One look with the window that the evidence itself asks for."""
    through_ms = evidence.oldest_live_ms(known, step_ms=STEP_MS) or ms(until)
    window = query.window_seconds(through_ms=through_ms, until_ms=ms(until), interval_ms=STEP_MS)
    found = [one for proxy in world for one in proxy.seen(until - window, until)]
    return absorb(known, requests(*found), ERRORS)


@settings(deadline=None, max_examples=120)
@given(WORLDS, LOOKS)
def test_evidence_does_not_depend_on_when_somebody_looked(
    world: tuple[Proxy, ...], looks: list[int]
) -> None:
    first = looked_at(world, RunEvidence(), FIRST_LOOK_SECONDS)

    once = looked_at(world, first, LAST_LOOK_SECONDS)
    often = first
    for until in looks:
        often = looked_at(world, often, until)
    often = looked_at(world, often, LAST_LOOK_SECONDS)

    assume(first.origin_ms)
    assert often == once


@settings(deadline=None, max_examples=120)
@given(WORLDS, LOOKS)
def test_doubled_looks_and_steps_change_no_total(
    world: tuple[Proxy, ...], looks: list[int]
) -> None:
    first = looked_at(world, RunEvidence(), FIRST_LOOK_SECONDS)
    plain = stepped = first
    for until in looks:
        plain = looked_at(world, plain, until)
        twice = looked_at(world, looked_at(world, stepped, until), until)
        stepped = evidence.begin_step(twice, [ERRORS])

    assert stepped.canary_run == plain.canary_run
    assert stepped.through == plain.through
    assert stepped.traffic.stable_before == plain.traffic.stable
