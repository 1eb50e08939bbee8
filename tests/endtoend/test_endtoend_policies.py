"""Policies as a platform team lives with them: applied by kubectl, frozen and thawed by hand."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.endtoend.hands import Hands

pytestmark = [
    pytest.mark.servers,
    pytest.mark.timeout(120),
    pytest.mark.asyncio(loop_scope="session"),
]

POLICIES = Path(__file__).parents[2] / "policies"
STEPS = [{"weight": 10, "hold": "2s"}, {"weight": 50, "hold": "2s"}, {"weight": 100}]
PLATFORM = {
    "apiVersion": "rollout.dev/v1alpha1",
    "kind": "ClusterRolloutPolicy",
    "metadata": {"name": "platform"},
    "spec": {
        "description": "For the test.",
        "enforce": {"strategy": {"steps": STEPS, "bake": "1s"}},
        "limits": {"runsAtOnce": 1},
    },
}


@pytest.fixture
async def governed(world: Hands) -> AsyncIterator[Hands]:
    yield world
    for kind in ("rolloutpolicies", "clusterrolloutpolicies"):
        await world.kubectl("delete", kind, "--all")


async def test_a_freeze_by_hand_holds_a_run_that_a_policy_rules_and_a_thaw_lets_it_go_on(
    governed: Hands,
) -> None:
    world = governed
    applied = await world.kubectl("apply", "-f", str(POLICIES))
    await world.kubectl("apply", "-f", world.file("platform.yaml", PLATFORM))
    await world.controller()
    ref = {"kind": "ClusterRolloutPolicy", "name": "platform"}
    await world.put_on(policyRef=ref, gates=[])

    await world.want("v2")
    await world.until_step(1)
    frozen = await world.rollout("freeze", "-n", "bookinfo", "--until", "1h", "--reason", "audit")
    held = await world.until(lambda s: s["phase"] == "Waiting")
    refused = await world.rollout("promote", "reviews", "-n", "bookinfo", code=1)
    why = await world.rollout("why", "reviews", "-n", "bookinfo")
    listed = json.loads(await world.rollout("policies", "-n", "bookinfo", "-o", "json"))
    weights = await world.weights()
    thawed = await world.rollout("thaw", "-n", "bookinfo")
    over = await world.until_over()

    assert "clusterrolloutpolicy.rollout.dev/standard created" in applied
    assert "these runs stay where they are: bookinfo/reviews at 10 %" in frozen
    assert "(freeze by RolloutPolicy freeze: audit)" in held["message"]
    assert "refused: closed until" in refused
    assert "its plan is ruled by ClusterRolloutPolicy platform" in " ".join(why.split())
    assert weights["v2"] == 10
    users = {one["name"]: one["rollouts"] for one in listed}
    assert users["platform"] == ["bookinfo/reviews"]
    assert users["standard"] == []
    assert thawed == "runs in namespace bookinfo go on where they stopped\n"
    assert over["history"][0]["outcome"] == "Promoted"
    assert over["run"]["policies"] == ["ClusterRolloutPolicy platform"]
