"""What past hours say: dispersion, usual errors, traffic; and how little is said without them."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from rollout.adapters.prometheus import PrometheusMetrics
from rollout.analysis import history, past
from rollout.analysis.arm import Arms
from rollout.analysis.history import History
from rollout.analysis.past import Asked
from rollout.analysis.sample import Missing, NoAnswer
from rollout.base.errors import CannotStart
from tests.analysis import golden_server

HOST = "reviews.default.svc.cluster.local"
ARMS = Arms(label="destination_workload", stable="reviews-v1", canary="reviews-v2")
BEGIN = 28_333_320
"""A minute that begins a block of every length."""


def counted(increments: Sequence[int | None], *, since: int = BEGIN, first: int = 0) -> list[Any]:
    """A counter's values as an answer has them; None is a minute without a sample."""
    value, values = first, [[60 * since, str(first)]]
    for minute, increment in enumerate(increments, since + 1):
        value += increment or 0
        if increment is not None:
            values.append([60 * minute, str(value)])
    return values


def matrix(*series: tuple[Mapping[str, str], list[Any]]) -> dict[str, Any]:
    result = [{"metric": dict(labels), "values": values} for labels, values in series]
    return {"status": "success", "data": {"resultType": "matrix", "result": result}}


def vector(**values: float) -> dict[str, Any]:
    result = [{"metric": {"asked": name}, "value": [0, str(v)]} for name, v in values.items()]
    return {"status": "success", "data": {"resultType": "vector", "result": result}}


def of_pods(bad: Mapping[str, Sequence[int | None]], *, requests: int = 100) -> dict[str, Any]:
    """Pods that all get the same number of requests a minute."""
    series = []
    for pod, failed in bad.items():
        every = [None if one is None else requests for one in failed]
        series.append(({"pod": pod, "asked": "answered"}, counted(every, first=5_000)))
        series.append(({"pod": pod, "asked": "failed"}, counted(failed)))
    return matrix(*series)


def read(document: dict[str, Any] | NoAnswer) -> History:
    return history.read({Asked.PODS: document})


def test_errors_that_come_one_by_one_need_no_more_evidence() -> None:
    dice = random.Random(1)
    pods = {
        f"p{i}": [sum(dice.random() < 0.02 for _ in range(100)) for _ in range(240)]
        for i in range(6)
    }

    found = read(of_pods(pods))

    assert 1 <= found.dispersion_factor < 1.4
    assert found.pods_count == 6


def test_errors_in_clusters_need_as_much_more_as_the_clusters_have_members() -> None:
    dice = random.Random(2)
    pods = {f"p{i}": [5 * (dice.random() < 0.2) for _ in range(240)] for i in range(6)}

    found = read(of_pods(pods))

    assert found.dispersion_factor == pytest.approx(5, rel=0.4)
    assert (
        found.why
        == f"errors are bursty: {found.dispersion_factor:.3g} times the evidence is needed"
    )


def test_slow_noise_shows_in_long_blocks_only() -> None:
    """Each pod fails a little oftener than the others for twenty minutes, and then another."""
    pods = {f"p{i}": [3 if minute // 20 % 3 == i else 1 for minute in range(240)] for i in range(3)}

    found = read(of_pods(pods))

    # Of 100 errors in 20 minutes the expected are 33⅓ each: (60-e)²/e + 2·(20-e)²/e over 2.
    assert found.dispersion_factor == pytest.approx(16)


@pytest.mark.parametrize(
    ("document", "why"),
    [
        (of_pods({"a": [1] * 240}), "fewer than 2 stable pods tell what they answered (1)"),
        (of_pods({"a": [1] * 59, "b": [2] * 59}), "less than an hour of history"),
        (of_pods({"a": [0] * 240, "b": [0] * 240}), "only 0 errors in the history"),
        (of_pods({"a": [0] * 240, "b": [0] * 239 + [2]}), "only 2 errors in the history"),
        (matrix(), "fewer than 2 stable pods tell what they answered (0)"),
        (NoAnswer(reason=Missing.PARTIAL, sentence="Prometheus' answer is partial"), "is partial:"),
        ({"status": "error", "error": "too many samples"}, "too many samples"),
    ],
)
def test_where_too_little_is_known_twice_the_evidence_is_asked_for_and_the_reason_said(
    document: dict[str, Any] | NoAnswer, why: str
) -> None:
    found = read(document)

    assert found.dispersion_factor == 2
    assert why in found.why
    assert found.why.endswith(": 2 times the evidence is asked for")


def test_few_errors_that_came_all_at_once_are_bursty_all_the_same() -> None:
    found = read(of_pods({"a": [0] * 240, "b": [0] * 120 + [8] + [0] * 119}))

    assert found.dispersion_factor == pytest.approx(8)


def test_a_restart_and_a_missed_minute_take_that_pod_out_of_their_blocks_only() -> None:
    steady = {f"p{i}": [1] * 240 for i in range(3)}
    whole = read(of_pods(steady))
    document = of_pods({**steady, "p2": [None if minute == 50 else 1 for minute in range(240)]})
    restarted = next(
        one
        for one in document["data"]["result"]
        if one["metric"] == {"pod": "p1", "asked": "answered"}
    )
    restarted["values"] = [
        [at, str(float(value) - 9_000 if at >= 60 * (BEGIN + 100) else float(value))]
        for at, value in restarted["values"]
    ]

    found = read(document)

    assert (found.dispersion_factor, found.pods_count) == (whole.dispersion_factor, 3)
    assert found.bad_ratio == pytest.approx(0.01, rel=0.01)


def test_a_pods_first_error_counts_although_its_series_is_new() -> None:
    late = counted([3] * 60, since=BEGIN + 180, first=3)
    document = matrix(
        ({"pod": "a", "asked": "answered"}, counted([100] * 240)),
        ({"pod": "a", "asked": "failed"}, late),
    )

    found = read(document)

    assert found.bad_ratio == pytest.approx((3 * 61 + 1) / (240 * 100 + 1))


def test_a_pod_that_appears_in_the_middle_does_not_bring_its_whole_counter() -> None:
    document = matrix(
        ({"pod": "a", "asked": "answered"}, counted([10] * 240)),
        (
            {"instance": "10.0.0.9:15020", "asked": "answered"},
            counted([10] * 60, since=BEGIN + 180, first=9**9),
        ),
    )

    found = read(document)

    assert found.requests_per_second == pytest.approx(3_000 / 240 / 60)
    assert found.pods_count == 2


def test_usual_errors_and_traffic_are_as_callers_saw_them() -> None:
    found = history.read(
        {
            Asked.BASE: vector(all=1_440_000, bad=1_439.5, minutes=240),
            Asked.EARLIER: vector(**{"1": 360_000, "2": 720_000, "7": 540_000}),
        }
    )

    assert found.bad_ratio == pytest.approx(0.001, rel=1e-3)
    assert found.requests_per_second == pytest.approx(100)
    assert found.earlier_requests_per_second == {1: 100, 2: 200, 7: 150}
    assert found.expected_requests_per_second == 150
    assert found.span_seconds == 4 * 3600


def test_nothing_known_is_no_rate_of_0() -> None:
    found = history.read({Asked.BASE: vector(), Asked.EARLIER: vector(**{"1": float("nan")})})

    assert (found.bad_ratio, found.requests_per_second) == (None, None)
    assert found.expected_requests_per_second is None


def test_slow_requests_have_a_dispersion_and_a_rate_for_each_edge() -> None:
    every, fast = [100] * 240, {"a": [100, 80] * 120, "b": [80, 100] * 120}
    series = [
        ({"pod": pod, "le": le}, counted(values))
        for pod in fast
        for le, values in (("250.0", fast[pod]), ("+Inf", every))
    ]
    summed = vector()
    summed["data"]["result"] = [
        {"metric": {"le": le}, "value": [0, value]}
        for le, value in (("250", "900"), ("+Inf", "999"))
    ]

    found = history.read({Asked.POD_DURATIONS: matrix(*series), Asked.DURATIONS: summed})

    # Of 20 slow ones in a minute 10 are expected of each pod: 2·(20-10)²/10 over 1.
    assert found.slow_dispersion_factors == {250.0: 20}
    assert found.slow_ratios == {250.0: 0.1}


# Before a real Prometheus: pods a, b and c fail and are slow in turns, b's proxy restarts, and 39
# more live for a while each.

LENGTH = 4 * 3600
ORIGIN = 60 * BEGIN
SHORT_LIVED = [f"d{number}" for number in range(39)]


class Written:
    """Samples as promtool reads them."""

    def __init__(self) -> None:
        self._rows: dict[str, list[str]] = {}

    def sample(self, name: str, value: int, *, at: int, **labels: str) -> None:
        others = {"destination_service": HOST, "destination_workload": "reviews-v1"}
        pairs = ",".join(f'{label}="{text}"' for label, text in {**others, **labels}.items())
        series = f"{name}{{{pairs}}}"
        self._rows.setdefault(series, []).append(f"{series} {value} {ORIGIN + at}")

    def request(self, value: int, *, at: int, code: str, flags: str = "-", **labels: str) -> None:
        fate = {"response_code": code, "response_flags": flags}
        self.sample("istio_requests_total", value, at=at, **labels, **fate)

    def text(self) -> str:
        lines = [line for rows in self._rows.values() for line in rows]
        buckets = [line for line in lines if "_bucket" in line]
        return "\n".join(
            [
                *("# TYPE istio_requests counter", *(one for one in lines if one not in buckets)),
                *("# TYPE istio_request_duration_milliseconds histogram", *buckets, "# EOF", ""),
            ]
        )


def recorded() -> str:
    written = Written()
    for number, pod in enumerate("abc"):
        _record_pod(written, number, pod)
    for at in range(0, LENGTH + 1, 15):
        sent = {"reporter": "source", "pod": "gateway"}
        written.request(90 * at // 15, at=at, code="200", **sent)
        written.request(10 * at // 15, at=at, code="0", flags="UF", **sent)
        written.request(7 * at // 15, at=at, code="0", flags="DC", **sent)
        written.request(5 * at // 15, at=at, code="503", flags="UH", **sent)
    for number, pod in enumerate(SHORT_LIVED):
        for at in range(0, 300 + 15 * number, 15):
            written.request(at, at=at, code="200", reporter="destination", pod=pod)
    return written.text()


def _record_pod(written: Written, number: int, pod: str) -> None:
    own = {"reporter": "destination", "pod": pod, "instance": f"{pod}:15020"}
    good = bad = gone = 0
    for at in range(5 * number, LENGTH + 1, 15):
        if pod == "b" and at == 5 + 7_200:
            good = bad = gone = 0
        good, gone = good + 24, gone + 1
        bad += 6 if at // 1_200 % 3 == number else 0
        written.request(good, at=at, code="200", **own)
        written.request(gone, at=at, code="0", flags="DC", **own)
        for code, flags, grpc in (("503", "-", "-"), ("0", "UF", "-"), ("200", "-", "14")):
            if bad:
                status = {"grpc_response_status": grpc}
                written.request(bad // 3, at=at, code=code, flags=flags, **own, **status)
        for le, value in (("250", good), ("+Inf", good + bad)):
            name = "istio_request_duration_milliseconds_bucket"
            written.sample(name, value, at=at, le=le, response_code="200", **own)


@pytest.fixture
async def prometheus(tmp_path: Path) -> AsyncIterator[PrometheusMetrics]:
    try:
        async with golden_server.running(tmp_path, open_metrics=recorded()) as url:
            adapter = PrometheusMetrics(url)
            yield adapter
            await adapter.close()
    except CannotStart as error:
        pytest.skip(f"no Prometheus to test against: {error}")


@pytest.mark.servers
@pytest.mark.timeout(60)
async def test_a_real_prometheus_answers_all_of_it(prometheus: PrometheusMetrics) -> None:
    asked = past.questions(HOST, ARMS, edges_ms=[250])
    documents = {
        name: await prometheus.query(text, time_seconds=ORIGIN + LENGTH, timeout_seconds=8)
        for name, text in asked.items()
    }

    found = history.read(documents)

    told = {one["metric"]["pod"] for one in documents[Asked.PODS]["data"]["result"]}
    assert told == {"a", "b", "c", *SHORT_LIVED[2:]}  # the two shortest lives are left out
    assert found.pods_count == past.PODS_MAX
    # In 20 minutes one pod fails 480 of 2,400, the others none of 1,920 each: 184.6 and 147.7 are
    # expected, so (480 - 184.6)²/184.6 + 2·147.7 over 2.
    assert found.dispersion_factor == pytest.approx(384, rel=0.02)
    assert found.slow_dispersion_factors == {250: pytest.approx(384, rel=0.02)}
    assert found.bad_ratio == pytest.approx(0.1, rel=1e-3)
    assert found.requests_per_second == pytest.approx(100 / 15, rel=0.01)
    assert found.span_seconds == pytest.approx(LENGTH, abs=60)
    assert found.earlier_requests_per_second == {}


@pytest.mark.servers
@pytest.mark.timeout(60)
async def test_a_real_prometheus_tells_of_earlier_days_and_of_callers_slow_requests(
    prometheus: PrometheusMetrics,
) -> None:
    asked = past.questions(HOST, ARMS, edges_ms=[250])
    a_day_later = ORIGIN + 86_400 + 3_600
    earlier = await prometheus.query(
        asked[Asked.EARLIER], time_seconds=a_day_later, timeout_seconds=8
    )
    sent_by_pods = asked[Asked.DURATIONS].replace('=~"source|waypoint"', '="destination"')
    slow = await prometheus.query(sent_by_pods, time_seconds=ORIGIN + LENGTH, timeout_seconds=8)

    found = history.read({Asked.EARLIER: earlier, Asked.DURATIONS: slow})

    assert found.earlier_requests_per_second == {1: pytest.approx(112 / 15, rel=0.01)}
    # 6 of 30 requests are slow a third of the time, so 6 of 78.
    assert found.slow_ratios == {250: pytest.approx(6 / 78, rel=0.01)}
