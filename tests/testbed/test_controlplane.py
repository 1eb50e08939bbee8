"""A real API server comes up, takes our CRDs, and enforces their rules."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.testbed import build, kubectl
from tests.testbed.controlplane import ControlPlane, control_plane
from tests.testbed.kubectl import Kubectl

ROOT = Path(__file__).parents[2]
CRDS = ROOT / "manifests" / "crds"

WHY_NOT = build.why_not("etcd", "kube-apiserver") or kubectl.WHY_NOT

pytestmark = [
    pytest.mark.servers,
    pytest.mark.timeout(180),
    pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "all is there"),
]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[ControlPlane]:
    async with control_plane(tmp_path, users={"mallory": ("nobodies",)}) as plane:
        yield plane


@pytest.fixture
async def with_crds(world: ControlPlane) -> Kubectl:
    admin = Kubectl(world=world)
    code, said = await admin.run("create", "-f", str(CRDS))
    assert code == 0, said
    code, said = await admin.run(
        "wait", "--for=condition=Established", "--timeout=30s", "-f", str(CRDS)
    )
    assert code == 0, said
    return admin


def rollout_with(*steps: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "rollout.dev/v1alpha1",
        "kind": "Rollout",
        "metadata": {"name": "reviews", "namespace": "default"},
        "spec": {"host": "reviews", "revision": "v2", "strategy": {"steps": list(steps)}},
    }


async def test_the_server_knows_its_release_and_lets_in_only_whom_rbac_allows(
    world: ControlPlane,
) -> None:
    _, version = await Kubectl(world=world).run("version")
    code, said = await Kubectl(world=world, user="mallory").run("get", "secrets")

    assert "Server Version: v1." in version
    assert code == 1
    assert 'User "mallory" cannot list resource "secrets"' in said


async def test_our_crds_are_accepted_and_take_a_rollout(with_crds: Kubectl) -> None:
    code, said = await with_crds.run("create", "-f", "-", given=rollout_with({"weight": 10}))

    assert (code, said) == (0, "rollout.rollout.dev/reviews created\n")


async def test_a_step_of_two_kinds_is_refused_by_its_rule(with_crds: Kubectl) -> None:
    both = rollout_with({"weight": 10, "pause": {}})

    code, said = await with_crds.run("create", "-f", "-", given=both)

    assert code == 1
    assert "spec.strategy.steps[0]" in said
    assert "Invalid value" in said
