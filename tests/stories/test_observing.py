"""Gates that only observe: judged and shown, and nothing comes of them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from rollout.api.evidence import Verdict
from tests.stories import gray
from tests.world.metrics import vector

pytestmark = pytest.mark.looptime(noop_cycles=1)

ERRORS: dict[str, Any] = {"name": "errors", "errorRate": {"maxPercent": 1}}


@pytest.mark.parametrize(
    "tried",
    [
        {"query": {"promql": 'orders{rev="{{ revision }}"}', "min": 0.9, "decide": "Threshold"}},
        {"errorRate": {"maxPercent": 0}},
    ],
    ids=["a query", "errors"],
)
async def test_a_gate_that_only_observes_and_fails_keeps_no_run_from_its_end(
    tried: dict[str, Any],
) -> None:
    gates = [
        {"name": "errors", "errorRate": {"maxPercent": 50}},
        {"name": "tried", "mode": "Observe", **tried},
    ]
    async with gray.told(gray.rollout(gates=gates)) as story:
        story.metrics.script("orders", lambda _text, at: vector([({}, 0.1)], at=at))
        await story.stable()
        story.fail("v2", 5)
        story.want("v2")
        await story.until_step(2, within_seconds=60)
        await asyncio.sleep(4)
        story.edit(suspend=True)
        await asyncio.sleep(4)

        assert story.run().gates[1].verdict is Verdict.FAIL
        story.edit(suspend=False)
        await story.stable("v2", within_seconds=300)


async def test_a_gate_that_only_observes_is_judged_like_any_other() -> None:
    tried = {"name": "tried", "mode": "Observe", "errorRate": {"maxPercent": 0.5}}
    async with gray.told(gray.rollout(gates=[ERRORS, tried])) as story:
        await story.stable()
        story.want("v2")
        await story.until_step(2, within_seconds=60)
        await asyncio.sleep(8)
        story.edit(suspend=True)
        await asyncio.sleep(1)

        assert [gate.verdict for gate in story.run().gates] == [Verdict.PASS, Verdict.PASS]
        assert "the limit is 0.5 %" in story.run().gates[1].because
