"""Our CRDs in the sandbox's API server: objects are taken, kept, and refused as the models say."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from rollout.api import crd, reading
from rollout.api.evidence import RunEvidence
from rollout.api.gate import Judge
from rollout.api.meta import CLUSTER_ROLLOUT_POLICY, ROLLOUT, ROLLOUT_ACTION, Manifest
from rollout.api.phase import Phase
from rollout.api.rollout import Plan
from rollout.api.status import RolloutStatus, Run
from rollout.api.step import Step, Strategy
from rollout.base.errors import BadManifest
from rollout.sandbox.apiserver import serve
from tests.sandbox.apiclient import Api, connected

NOW = datetime(2026, 11, 23, 10, 20, 30, 123000, tzinfo=UTC)
PLACE = ROLLOUT.path(namespace="shop")
OBJECT = ROLLOUT.path(namespace="shop", name="checkout")
STRICT = {"fieldValidation": "Strict"}

STATUS = RolloutStatus(
    phase=Phase.PROGRESSING,
    message="12 % of checkout goes to v2",
    stable_revision="v1",
    run=Run(
        id="14",
        canary_revision="v2",
        stable_revision="v1",
        step=1,
        step_count=2,
        weight=12.5,
        started_at=NOW,
        step_started_at=NOW,
        plan=Plan(
            host="checkout",
            strategy=Strategy(steps=(Step(weight=12.5, hold="2m"), Step(weight=100))),
            gates=(),
            judge=Judge(),
        ),
        evidence=RunEvidence(origin_ms=1_795_000_000_000, through={"0a1b2c3d": 15_000, "*": 0}),
    ),
)


def rollout(**spec: Any) -> Manifest:
    return {
        "apiVersion": ROLLOUT.api_version,
        "kind": ROLLOUT.kind,
        "metadata": {"name": "checkout", "namespace": "shop"},
        "spec": {"host": "checkout", "revision": "v2", **spec},
    }


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with serve(list(crd.crds())) as server, connected(server.url) as client:
        yield client


async def test_the_smallest_rollout_is_kept_as_it_was_written(api: Api) -> None:
    kept = await api.create(PLACE, rollout(), **STRICT)

    assert kept["spec"] == {"host": "checkout", "revision": "v2"}
    assert reading.read_spec(kept) == reading.read_spec(rollout())


async def test_a_status_comes_back_from_the_server_as_it_was_written(api: Api) -> None:
    await api.create(PLACE, rollout(), **STRICT)
    written = STATUS.model_dump(mode="json", by_alias=True, exclude_none=True)

    answer = await api.merge(f"{OBJECT}/status", {"status": written}, **STRICT)

    assert answer.code == 200, answer.text
    assert answer.warnings == ()
    assert reading.read_status(await api.get(OBJECT)) == STATUS


@pytest.mark.parametrize(
    "spec",
    [
        {"wieght": 5},
        {"revision": "V2"},
        {"strategy": {"steps": [{"weight": 101}]}},
        {"strategy": {"bake": "1mfoo"}},
        {"gates": [{"errorRate": {"maxPercent": 1}}]},
        {"judge": {"minRequests": "many"}},
        {"onFailure": "Abort"},
    ],
    ids=["unknown", "pattern", "bound", "duration", "missing", "type", "choice"],
)
async def test_what_the_reader_refuses_the_server_refuses_too(
    api: Api, spec: dict[str, Any]
) -> None:
    answer = await api.ask("POST", PLACE, rollout(**spec), params=STRICT)

    assert answer.code in {400, 422}
    with pytest.raises(BadManifest):
        reading.read_spec(rollout(**spec))


async def test_a_command_is_taken_and_answered(api: Api) -> None:
    place = ROLLOUT_ACTION.path(namespace="shop")
    command = {
        "apiVersion": ROLLOUT_ACTION.api_version,
        "kind": ROLLOUT_ACTION.kind,
        "metadata": {"name": "checkout-abort", "namespace": "shop"},
        "spec": {"rollout": "checkout", "run": "14", "verb": "Abort", "actor": "alice"},
    }
    answered = {"outcome": "Applied", "at": "2026-11-23T10:20:30.123Z"}

    await api.create(place, command, **STRICT)
    answer = await api.merge(f"{place}/checkout-abort/status", {"status": answered}, **STRICT)

    assert answer.code == 200, answer.text
    assert answer.body["status"] == answered


def policy(**spec: Any) -> Manifest:
    return {
        "apiVersion": CLUSTER_ROLLOUT_POLICY.api_version,
        "kind": CLUSTER_ROLLOUT_POLICY.kind,
        "metadata": {"name": "calm"},
        "spec": spec,
    }


async def test_a_policy_belongs_to_the_cluster_and_is_kept_without_any_default(api: Api) -> None:
    spec = {
        "defaults": {"strategy": {"bake": "1h"}},
        "windows": {"freeze": [{"until": "2027-01-02T00:00:00Z", "reason": "year end"}]},
    }

    kept = await api.create(CLUSTER_ROLLOUT_POLICY.path(), policy(**spec), **STRICT)

    assert kept["spec"] == spec
    assert "namespace" not in kept["metadata"]


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({"defaults": {"revision": "v2"}}, "revision"),
        ({"limits": {"runsAtOnce": 0}}, "greater than or equal to 1"),
        ({"windows": {"freeze": [{"until": "2027-01-02T00:00:00Z"}]}}, "reason"),
    ],
    ids=["not a policy's", "no run at all", "no reason"],
)
async def test_what_no_policy_may_say_is_refused_when_it_is_applied(
    api: Api, spec: dict[str, Any], told: str
) -> None:
    answer = await api.ask("POST", CLUSTER_ROLLOUT_POLICY.path(), policy(**spec), params=STRICT)

    assert answer.code in {400, 422}
    assert told in answer.text
