"""The controller's own pages: alive, ready, and its metrics."""

from __future__ import annotations

import asyncio
import json
import shutil

import pytest
from prometheus_client.parser import text_string_to_metric_families

from rollout.sandbox.stage import DEFAULT_CACHE
from tests.endtoend.hands import Hands, ladder

pytestmark = [
    pytest.mark.servers,
    pytest.mark.timeout(60),
    pytest.mark.asyncio(loop_scope="session"),
]


async def test_the_pages_tell_the_truth_about_a_controller_at_work(world: Hands) -> None:
    process = await world.controller()
    await world.until_leads(process)
    await world.put_on(strategy=ladder((25, "1s"), (50, "30s")))
    await world.want("v2")
    await world.until_step(2)
    await asyncio.sleep(0.2)

    alive = await world.page(process, "/healthz")
    ready = await world.page(process, "/readyz")
    metrics = await world.page(process, "/metrics")

    assert (alive[0], json.loads(alive[2])) == (200, {"ok": True, "because": ""})
    assert (ready[0], json.loads(ready[2])) == (200, {"ok": True, "because": "", "leading": True})
    assert metrics[0] == 200
    assert metrics[1].startswith("text/plain; version=0.0.4")
    found = {
        (s.name, tuple(sorted(s.labels.items()))): s.value
        for family in text_string_to_metric_families(metrics[2].decode())
        for s in family.samples
    }
    weights = [v for (name, labels), v in found.items() if "weight" in name and labels]
    assert weights == [50]


def _promtool() -> str:
    """Where it is; empty when it is nowhere."""
    cached = (DEFAULT_CACHE / "promtool").expanduser()
    return shutil.which("promtool") or (str(cached) if cached.exists() else "")


@pytest.mark.skipif(not _promtool(), reason="promtool is neither on PATH nor in ~/.cache/rollout")
async def test_promtool_finds_nothing_wrong_with_the_metrics(world: Hands) -> None:
    process = await world.controller()
    await world.put_on(strategy=ladder((25, "1s"), (50, "30s")))
    await world.want("v2")
    await world.until_step(2)
    _, _, text = await world.page(process, "/metrics")

    checking = await asyncio.create_subprocess_exec(
        *(_promtool(), "check", "metrics"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    told, _ = await checking.communicate(text)

    assert told.decode() == ""
    assert checking.returncode == 0


async def test_a_standby_is_ready_and_says_that_it_does_not_lead(world: Hands) -> None:
    leader = await world.controller()
    await world.until_leads(leader)
    standby = await world.controller()

    ready = await world.page(standby, "/readyz")

    assert ready[0] == 200
    assert json.loads(ready[2])["leading"] is False
