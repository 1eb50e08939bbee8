"""A real API server takes the policies that are shipped, and refuses what no policy may say."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from rollout.api.meta import CLUSTER_ROLLOUT_POLICY, ROLLOUT_POLICY
from rollout.base.errors import Denied
from rollout.sandbox.kubeclient import KubeClient, access_from
from tests.testbed import istio
from tests.testbed.bed import ROOT, install_ours
from tests.testbed.controlplane import control_plane

WHY_NOT = istio.why_not()

pytestmark = [
    pytest.mark.servers,
    pytest.mark.timeout(600),
    pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "all is there"),
]

STRICT = "?fieldValidation=Strict"
BACKWARDS = {"from": "2027-01-02T00:00:00Z", "until": "2026-12-20T00:00:00Z", "reason": "x"}
FALLING = [{"weight": 50}, {"weight": 5}]
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"windows": {"freeze": [BACKWARDS]}}, "a freeze ends after it begins"),
    ({"enforce": {"windows": {"freeze": [BACKWARDS]}}}, "a freeze ends after it begins"),
    ({"enforce": {"strategy": {"steps": FALLING}}}, "weights must rise along the ladder"),
    ({"defaults": {"gates": [{"name": "none"}]}}, "a gate is exactly one of"),
]


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[KubeClient]:
    async with (
        control_plane(tmp_path) as plane,
        KubeClient(access_from(plane.kubeconfig())) as connected,
    ):
        await install_ours(connected)
        yield connected


def policy(name: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": CLUSTER_ROLLOUT_POLICY.api_version,
        "kind": CLUSTER_ROLLOUT_POLICY.kind,
        "metadata": {"name": name},
        "spec": spec,
    }


async def test_policies_are_taken_as_shipped_and_refused_with_our_words(client: KubeClient) -> None:
    place = f"{CLUSTER_ROLLOUT_POLICY.path()}{STRICT}"
    for path in sorted((ROOT / "policies").glob("*.yaml")):
        manifest = yaml.safe_load(path.read_text())
        kept = await client.call("POST", place, body=manifest)
        assert kept["spec"] == manifest["spec"]

    near = {**policy("near"), "kind": ROLLOUT_POLICY.kind, "spec": {"stop": {"reason": "x"}}}
    await client.call("POST", f"{ROLLOUT_POLICY.path(namespace='default')}{STRICT}", body=near)

    for number, (spec, told) in enumerate(WRONG):
        with pytest.raises(Denied) as caught:
            await client.call("POST", place, body=policy(f"wrong-{number}", **spec))
        assert told in str(caught.value)
