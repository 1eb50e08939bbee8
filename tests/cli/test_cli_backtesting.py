"""``rollout backtest``: the gates of a Rollout on past days."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from rollout.base.errors import CannotStart
from tests.analysis import golden_server
from tests.cli.desk import Desk
from tests.cli.test_cli_planning import HOST, TEXT, written
from tests.world.clock import FakeClock
from tests.world.metrics import FakeMetrics, matrix

PIECE_SECONDS = 14_400


@pytest.fixture
def desk() -> Desk:
    return Desk()


def prometheus(*, bad: float = 0.012) -> FakeMetrics:
    """Three pods with 600 requests a minute."""

    def pods(_query: str, at: float) -> Mapping[str, Any]:
        dice = random.Random(at)
        rows = []
        for pod in "abc":
            begin, failed = int(at) - PIECE_SECONDS, 0
            for_all, for_bad = [], []
            for minute in range(241):
                for_all.append((begin + 60.0 * minute, 600.0 * minute))
                for_bad.append((begin + 60.0 * minute, float(failed)))
                failed += sum(dice.random() < bad for _ in range(600))
            rows += [
                ({"pod": pod, "asked": "answered"}, for_all),
                ({"pod": pod, "asked": "failed"}, for_bad),
            ]
        return matrix(rows)

    metrics = FakeMetrics(FakeClock())
    metrics.script("topk", pods)
    metrics.script(
        r"^time\(\)$",
        lambda _query, at: {
            "status": "success",
            "data": {"resultType": "scalar", "result": [at, str(at)]},
        },
    )
    return metrics


def test_a_service_that_usually_fails_a_little_is_left_alone_by_the_gates_alone(
    desk: Desk, tmp_path: Path
) -> None:
    desk.metrics = prometheus()

    result = desk.type("backtest", written(tmp_path), "-o", "json")

    assert result.exit_code == 0
    found = json.loads(result.stdout)
    # A day has 6 pieces of 4 hours, with 3 pods each; of one more is learnt what is usual.
    assert found["trials"] == 6 * 4 * 3
    assert found["thresholds"]["takenBack"] == 72
    assert found["gates"]["takenBack"] == 0
    assert len(desk.metrics.asked) == 1 + 7
    assert result.stderr == ""


def test_people_read_a_table(desk: Desk, tmp_path: Path) -> None:
    desk.metrics = prometheus(bad=0.001)

    result = desk.type("backtest", written(tmp_path), "--release", "2h")

    told = " ".join(result.stdout.split())
    assert told.startswith(f"{HOST}: 36 trials of 2h in the last 1d, each with one of 3 pods")
    assert "RULE TAKEN BACK gates of this Rollout 0 of 36 (0 %) 99 % each minute" in told


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--release", "1m"), "1m is not 5m to 4h"),
        (("--release", "1x"), "'1x' is not a duration"),
        (("--days", "99"), "less than or equal to 30"),
    ],
)
def test_wrong_options_are_wrong_usage(
    desk: Desk, tmp_path: Path, options: tuple[str, str], told: str
) -> None:
    result = desk.type("backtest", written(tmp_path), *options)

    assert result.exit_code == 2
    assert told in result.stderr


def test_without_a_prometheus_or_anything_in_it_it_says_what_is_needed(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ROLLOUT_PROMETHEUS_ADDRESS", raising=False)
    alone = desk.type("backtest", written(tmp_path))
    desk.metrics = prometheus()
    desk.metrics.script("topk", lambda _query, _at: matrix([]))
    empty = desk.type("backtest", written(tmp_path))

    assert "past hours are with Prometheus; use --prometheus URL" in alone.stderr
    assert "two pods of reviews.shop.svc.cluster.local that both tell of 1h" in empty.stderr
    assert (alone.exit_code, empty.exit_code) == (1, 1)


def test_only_gates_of_errors_can_be_tried(desk: Desk, tmp_path: Path) -> None:
    text = TEXT.replace("errorRate: {maxRatio: 1.2, maxPercent: 1}", "tcpFailures: {maxPercent: 1}")

    result = desk.type("backtest", written(tmp_path, text))

    assert result.exit_code == 1
    assert "rollout.yaml: spec.gates have none of errorRate" in result.stderr


def test_a_piece_that_prometheus_cannot_tell_is_passed_over_and_said(
    desk: Desk, tmp_path: Path
) -> None:
    desk.metrics = prometheus()
    desk.metrics.script("topk", failing_once(desk.metrics))

    result = desk.type("backtest", written(tmp_path))

    told = " ".join(result.stdout.split())
    assert "60 trials of 1h" in told
    assert "1 piece of that time could not be tried: Prometheus answered an error" in told


def failing_once(metrics: FakeMetrics) -> Any:
    """The third answer is an error."""
    usual = metrics._scripts[-1][1]

    def answer(query: str, at: float) -> Mapping[str, Any]:
        if sum("topk" in text for text in metrics.asked) == 3:
            return {"status": "error", "errorType": "timeout", "error": "too slow"}
        return usual(query, at)

    return answer


@pytest.mark.servers
@pytest.mark.timeout(60)
async def test_a_real_prometheus_tells_of_the_past(desk: Desk, tmp_path: Path) -> None:
    lines = ["# TYPE istio_requests counter"]
    now = golden_server.now_seconds()
    begin = now - now % PIECE_SECONDS - 2 * PIECE_SECONDS - 120
    for pod in "ab":
        for code, each in (("200", 148), ("503", 2)):
            labels = (
                f'reporter="destination",pod="{pod}",response_code="{code}",'
                f'destination_service="{HOST}"'
            )
            lines += [
                f"istio_requests_total{{{labels}}} {each * number} {begin + 15 * number}"
                for number in range((now - begin) // 15)
            ]
    try:
        async with golden_server.running(
            tmp_path, open_metrics="\n".join([*lines, "# EOF", ""])
        ) as url:
            result = desk.type("backtest", written(tmp_path), "--prometheus", url, "-o", "json")
    except CannotStart as error:
        pytest.skip(f"no Prometheus to test against: {error}")

    found = json.loads(result.stdout)
    assert (found["trials"], found["pods"]) == (2 * 2 * 4, 2)
    assert found["thresholds"]["takenBack"] == 16  # 1.3 % of their requests fail
    assert found["gates"]["takenBack"] == 0
    assert found["notTried"]["pieces"] == 0
