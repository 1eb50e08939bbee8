"""``rollout plan``: from a file or the cluster, from Prometheus or from what one says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from rollout.api.meta import CLUSTER_ROLLOUT_POLICY, ROLLOUT_POLICY
from rollout.base.errors import BadInput, CannotStart
from tests.analysis import golden_server
from tests.cli.desk import Desk
from tests.views.samples import STABLE, manifest
from tests.world.clock import FakeClock
from tests.world.metrics import FakeMetrics, matrix, vector

HOST = "reviews.shop.svc.cluster.local"

TEXT = """
apiVersion: rollout.dev/v1alpha1
kind: Rollout
metadata: {name: reviews, namespace: shop}
spec:
  host: reviews
  revision: v2
  strategy: {steps: [{weight: 10, hold: 5m}, {weight: 50, hold: 5m}]}
  gates: [{name: errors, errorRate: {maxRatio: 1.2, maxPercent: 1}}]
"""


@pytest.fixture
def desk() -> Desk:
    return Desk()


def written(folder: Path, text: str = TEXT) -> str:
    file = folder / "rollout.yaml"
    file.write_text(text, encoding="utf-8")
    return str(file)


def prometheus(*, bursts: bool = True) -> FakeMetrics:
    """4 hours of two pods: 100 requests/s, .1 % bad, in bursts that hit one pod at a time."""

    def base(_query: str, at: float) -> Mapping[str, Any]:
        rows = {"all": 1_440_000.0, "bad": 1_440.0, "minutes": 240.0}
        return vector([({"asked": name}, value) for name, value in rows.items()], at=at)

    def pods(_query: str, _at: float) -> Mapping[str, Any]:
        rows = []
        for number, pod in enumerate("ab"):
            bad = 0
            for_all, for_bad = [], []
            for minute in range(240):
                hit = minute % 4 == 2 * number if bursts else minute % 2 == 0
                bad += (12 if bursts else 6) * hit
                for_all.append((60.0 * minute, 3_000.0 * minute))
                for_bad.append((60.0 * minute, float(bad)))
            rows += [
                ({"pod": pod, "asked": "answered"}, for_all),
                ({"pod": pod, "asked": "failed"}, for_bad),
            ]
        return matrix(rows)

    metrics = FakeMetrics(FakeClock())
    metrics.script('"asked", "minutes"', base)
    metrics.script("topk", pods)
    metrics.script("offset", lambda _query, at: vector([({"asked": "1"}, 720_000.0)], at=at))
    metrics.script("_bucket", lambda _query, at: vector([], at=at))
    return metrics


def test_what_one_says_needs_neither_cluster_nor_prometheus(desk: Desk, tmp_path: Path) -> None:
    result = desk.type("plan", written(tmp_path), "--rps", "200", "--error-rate", "0.1")

    assert result.exit_code == 0
    told = " ".join(result.stdout.split())
    assert told.startswith("reviews: 200 requests/s, 0.1 % of which fail. Errors are taken to come")
    assert "STEP DOES LASTS FINDS OUTAGE 10× 2× 1 10 % 5m" in told


def test_prometheus_tells_of_a_rollout_of_the_cluster(desk: Desk) -> None:
    desk.put(manifest(STABLE))
    desk.metrics = prometheus()

    result = desk.type("plan", "reviews", "-o", "json")

    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert found["requestsPerSecond"] == 200  # as yesterday in the coming hour
    assert found["gates"][0]["badRatio"] == pytest.approx(0.001, rel=1e-3)
    assert found["dispersionFactor"] == pytest.approx(12)
    assert found["why"] == "errors are bursty: 12 times the evidence is needed"
    assert all(HOST.replace(".", "\\\\.") in text for text in desk.metrics.asked)


def test_bursty_errors_hide_more_than_those_that_come_one_by_one(
    desk: Desk, tmp_path: Path
) -> None:
    def found(*, bursts: bool) -> float:
        desk.metrics = prometheus(bursts=bursts)
        result = desk.type("plan", written(tmp_path), "-o", "json")
        ratio: float = json.loads(result.stdout)["gates"][0]["steps"][0]["foundRatio"]
        return ratio

    assert found(bursts=True) > 1.5 * found(bursts=False)


def test_what_one_says_goes_before_what_prometheus_says(desk: Desk, tmp_path: Path) -> None:
    desk.metrics = prometheus()

    result = desk.type("plan", written(tmp_path), "--dispersion", "2", "--rps", "7", "-o", "json")

    found = json.loads(result.stdout)
    assert (found["requestsPerSecond"], found["dispersionFactor"]) == (7, 2)
    assert found["gates"][0]["badRatio"] == pytest.approx(0.001, rel=1e-3)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: [", "rollout.yaml is no YAML ("),
        ("kind: Service", "rollout.yaml holds no Rollout; name a file with one"),
        (f"{TEXT}\n---\n{TEXT}", "rollout.yaml holds 2 Rollouts; name a file with one"),
        (TEXT.replace("hold: 5m", "hold: 5x"), "rollout.yaml: spec.strategy.steps[0].hold"),
        (TEXT.replace("maxRatio", "maxRation"), "did you mean maxRatio?"),
    ],
)
def test_a_wrong_file_is_told_by_file_field_and_remedy(
    desk: Desk, tmp_path: Path, text: str, told: str
) -> None:
    result = desk.type("plan", written(tmp_path, text), "--rps", "1", "--error-rate", "1")

    assert result.exit_code == 1
    assert told in result.stderr
    assert result.stdout == ""


def test_a_file_that_is_not_there_and_a_name_that_nobody_has_are_told(desk: Desk) -> None:
    missing = desk.type("plan", "./none.yaml")
    unknown = desk.type("plan", "revews")

    assert "./none.yaml cannot be read (No such file or directory); name" in missing.stderr
    assert "Rollout shop/revews does not exist" in unknown.stderr
    assert (missing.exit_code, unknown.exit_code) == (1, 1)


def test_without_any_traffic_it_says_how_to_tell_of_it(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ROLLOUT_PROMETHEUS_ADDRESS", raising=False)
    alone = desk.type("plan", written(tmp_path))
    desk.metrics = FakeMetrics(FakeClock())
    desk.metrics.script(".", lambda _query, at: vector([], at=at))
    silent = desk.type("plan", written(tmp_path))

    for result in (alone, silent):
        assert result.exit_code == 1
        assert f"nothing is known of the traffic of {HOST}; let Prometheus be asked with" in (
            result.stderr
        )


def test_where_four_hours_are_too_much_to_add_up_little_more_than_one_is_asked_for(
    desk: Desk, tmp_path: Path
) -> None:
    def too_much(query: str, _at: float) -> Mapping[str, Any]:
        raise BadInput(query)

    desk.metrics = prometheus()
    desk.metrics.script(r"\[14400s:60s\]$", too_much)

    result = desk.type("plan", written(tmp_path), "-o", "json")

    assert json.loads(result.stdout)["dispersionFactor"] == pytest.approx(12)
    assert sum("[3900s:60s]" in text for text in desk.metrics.asked) == 1


def test_an_address_that_is_none_is_told_by_its_option(desk: Desk, tmp_path: Path) -> None:
    result = desk.type("plan", written(tmp_path), "--prometheus", "nowhere")

    assert result.exit_code == 1
    assert "--prometheus is 'nowhere'; use an address such as http://" in result.stderr


def test_a_prometheus_that_does_not_answer_is_an_error_and_one_that_lacks_a_part_is_none(
    desk: Desk, tmp_path: Path
) -> None:
    desk.metrics = prometheus()
    desk.metrics.down = True
    down = desk.type("plan", written(tmp_path))
    desk.metrics = prometheus()
    desk.metrics.script("topk", lambda _query, _at: {"status": "error", "error": "too much"})
    partly = desk.type("plan", written(tmp_path))

    assert (down.exit_code, partly.exit_code) == (1, 0)
    assert "connection refused" in down.stderr
    assert "too much: 2 times the evidence is asked for" in " ".join(partly.stdout.split())


@pytest.mark.servers
@pytest.mark.timeout(60)
async def test_a_real_prometheus_is_asked_by_its_address(desk: Desk, tmp_path: Path) -> None:
    lines = ["# TYPE istio_requests counter"]
    for reporter, pod in (("source", "gateway"), ("destination", "a"), ("destination", "b")):
        for code, each in (("200", 99), ("503", 1)):
            labels = (
                f'reporter="{reporter}",pod="{pod}",response_code="{code}",'
                f'destination_service="{HOST}"'
            )
            now = golden_server.now_seconds()
            lines += [
                f"istio_requests_total{{{labels}}} {each * number} {now - 7_200 + 15 * number}"
                for number in range(480)
            ]
    try:
        async with golden_server.running(
            tmp_path, open_metrics="\n".join([*lines, "# EOF", ""])
        ) as url:
            result = desk.type("plan", written(tmp_path), "--prometheus", url, "-o", "json")
    except CannotStart as error:
        pytest.skip(f"no Prometheus to test against: {error}")

    found = json.loads(result.stdout)
    assert found["requestsPerSecond"] == pytest.approx(100 / 15, rel=0.02)
    assert found["gates"][0]["badRatio"] == pytest.approx(0.01, rel=0.02)
    assert (found["dispersionFactor"], found["podsCount"]) == (1, 2)


POLICY = """
---
apiVersion: rollout.dev/v1alpha1
kind: ClusterRolloutPolicy
metadata: {name: calm}
spec:
  enforce: {strategy: {steps: [{weight: 5, hold: 20m}], maxDuration: 2h}}
"""
NAMING = TEXT.replace("spec:", "spec:\n  policyRef: {kind: ClusterRolloutPolicy, name: calm}")
SAID = ("--rps", "100", "--error-rate", "0.1", "-o", "json")


def weights(stdout: str) -> list[float]:
    return [step["weightPercent"] for step in json.loads(stdout)["steps"]]


def test_a_policy_in_the_same_file_has_its_say(desk: Desk, tmp_path: Path) -> None:
    result = desk.type("plan", written(tmp_path, NAMING + POLICY), *SAID)

    assert weights(result.stdout) == [5, 100]


def test_a_policy_that_the_file_lacks_is_the_clusters(desk: Desk, tmp_path: Path) -> None:
    (spec,) = [one["spec"] for one in yaml.safe_load_all(POLICY) if one]
    desk.cluster.put(CLUSTER_ROLLOUT_POLICY, {"metadata": {"name": "calm"}, "spec": spec})

    result = desk.type("plan", written(tmp_path, NAMING), *SAID)

    assert weights(result.stdout) == [5, 100]


def test_a_policy_that_is_nowhere_is_told_by_its_name(desk: Desk, tmp_path: Path) -> None:
    result = desk.type("plan", written(tmp_path, NAMING), *SAID)

    assert result.exit_code == 1
    assert result.stderr == (
        "rollout: ClusterRolloutPolicy calm does not exist; "
        "shop/reviews names it in spec.policyRef: create it, or name another\n"
    )


def test_a_mistake_of_a_policy_is_told_by_the_policy(desk: Desk, tmp_path: Path) -> None:
    wrong = POLICY.replace("hold: 20m", "hold: 20m}, {weight: 3")

    result = desk.type("plan", written(tmp_path, NAMING + wrong), *SAID)

    assert result.stderr.startswith(
        "rollout: ClusterRolloutPolicy calm: spec.enforce.strategy.steps[1].weight is 3 after 5; "
    )


def test_a_rollout_of_the_cluster_is_planned_with_policies_that_are_for_all(desk: Desk) -> None:
    (document,) = [one for one in yaml.safe_load_all(TEXT) if one]
    desk.put({**manifest(STABLE), "spec": document["spec"]})
    enforce = {"strategy": {"steps": [{"weight": 8}]}}
    desk.cluster.put(
        ROLLOUT_POLICY,
        {
            "metadata": {"name": "every", "namespace": "shop"},
            "spec": {"appliesTo": "All", "enforce": enforce},
        },
    )

    result = desk.type("plan", "reviews", *SAID)

    assert weights(result.stdout) == [8, 100]


def test_a_cluster_without_policies_has_none_to_say_anything(desk: Desk) -> None:
    (document,) = [one for one in yaml.safe_load_all(TEXT) if one]
    desk.put({**manifest(STABLE), "spec": document["spec"]})
    for kind in (ROLLOUT_POLICY, CLUSTER_ROLLOUT_POLICY):
        desk.cluster.uninstall(kind)

    assert weights(desk.type("plan", "reviews", *SAID).stdout) == [10, 50, 100]
