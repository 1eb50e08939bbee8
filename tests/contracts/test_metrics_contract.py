"""What every Metrics port does: the fake that stories use, and the adapter before a real server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rollout.adapters.prometheus import PrometheusMetrics
from rollout.analysis import delta, gauge, query, sample
from rollout.analysis.delta import Span
from rollout.analysis.sample import NoAnswer, Series
from rollout.base.errors import BadInput, CannotStart
from rollout.ports import Metrics
from tests.analysis import golden, golden_server
from tests.world.clock import FakeClock
from tests.world.metrics import FakeMetrics

TIMEOUT_SECONDS = 8.0

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(
    params=["fake", pytest.param("prometheus", marks=pytest.mark.servers)],
)
async def metrics(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Metrics]:
    """A port that holds the golden samples."""
    if request.param == "fake":
        yield fake()
        return
    try:
        async with golden_server.running(tmp_path) as url:
            adapter = PrometheusMetrics(url)
            yield adapter
            await adapter.close()
    except CannotStart as error:
        pytest.skip(f"no Prometheus to test against: {error}")


def fake() -> FakeMetrics:
    port = FakeMetrics(FakeClock())
    for labels, points in golden.rows():
        others = {name: value for name, value in labels.items() if name != "__name__"}
        counter = port.counter(golden.METRIC, others)
        counter.samples.extend((golden.ORIGIN_SECONDS + at, float(value)) for at, value in points)
    return port


async def ask(metrics: Metrics, promql: str, *, at: float = golden.UNTIL_SECONDS) -> object:
    return await metrics.query(
        promql, time_seconds=golden.ORIGIN_SECONDS + at, timeout_seconds=TIMEOUT_SECONDS
    )


async def series(metrics: Metrics, promql: str) -> tuple[Series, ...]:
    document = await ask(metrics, promql)
    assert isinstance(document, dict)
    found = sample.parse(document)
    assert not isinstance(found, NoAnswer), found.sentence
    return found


async def test_the_golden_samples_come_to_the_golden_ticks(metrics: Metrics) -> None:
    window = query.window_seconds(
        through_ms=golden.at_ms(golden.THROUGH_SECONDS),
        until_ms=golden.at_ms(golden.UNTIL_SECONDS),
        interval_ms=golden.STEP_SECONDS * 1000,
    )
    question = query.requests([golden.SERVICE], window_seconds=window)[0]

    found = await series(metrics, question.promql)

    span = Span(golden.at_ms(golden.THROUGH_SECONDS), golden.at_ms(golden.UNTIL_SECONDS))
    step_ms = golden.STEP_SECONDS * 1000
    cut = delta.cut(found, span_of=lambda _: span, step_ms=step_ms)
    ticks = delta.ticks(cut.rows, key=golden.kind, origin_ms=span.through_ms, step_ms=step_ms)
    assert window == 105
    assert ticks == {(golden.at_ms(end), name): n for (end, name), n in golden.TICKS.items()}


async def test_a_service_that_nobody_calls_is_an_empty_answer(metrics: Metrics) -> None:
    question = query.requests(["nobody.default.svc.cluster.local"], window_seconds=105)[0]

    assert await series(metrics, question.promql) == ()


@pytest.mark.parametrize("host", ["a.b", "a-b.c_d", "x" * 60])
async def test_every_name_that_we_let_in_can_be_asked_about(metrics: Metrics, host: str) -> None:
    for question in (
        *query.requests([host, golden.SERVICE], window_seconds=105),
        *query.durations({host: query.EDGES_MS}, window_seconds=105),
        *query.tcp([host], window_seconds=105),
    ):
        found = await series(metrics, question.promql)

        wanted = {golden.SERVICE} if golden.SERVICE in question.hosts else set()
        assert set(sample.by_service(found)) == wanted


async def test_an_instant_query_reads_as_one_number(metrics: Metrics) -> None:
    document = await ask(metrics, 'istio_requests_total{pod="a",response_code="500"}')

    assert isinstance(document, dict)
    reading = gauge.read(document)
    assert isinstance(reading, gauge.Reading)
    assert reading.value == 3


async def test_without_a_time_the_servers_own_now_is_meant(metrics: Metrics) -> None:
    document = await metrics.query(
        "istio_requests_total", time_seconds=None, timeout_seconds=TIMEOUT_SECONDS
    )

    assert sample.parse_instant(document) == ()


async def test_a_query_that_cannot_be_read_is_bad_input(metrics: Metrics) -> None:
    with pytest.raises(BadInput):
        await ask(metrics, "sum(")


async def test_a_port_can_be_closed_twice(metrics: Metrics) -> None:
    await metrics.close()
    await metrics.close()
