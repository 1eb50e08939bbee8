"""What callers do not see: copies, attempts that are sent again, and requests that find no host."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from rollout.analysis import past
from rollout.api.evidence import Arrivals, Verdict
from rollout.api.meta import VIRTUAL_SERVICE, Manifest
from tests.stories import gray
from tests.stories.gray import Story
from tests.stories.pods import Pods
from tests.world.metrics import FakeMetrics

pytestmark = pytest.mark.looptime(noop_cycles=1)

MIRRORED: tuple[dict[str, Any], ...] = (
    {"mirror": 50, "hold": "10s"},
    {"weight": 50, "hold": "10s"},
)
SHIFTED: tuple[dict[str, Any], ...] = ({"weight": 20, "hold": "30s"}, {"weight": 50, "hold": "10s"})
STARTED_AT_SECONDS = 20


def climbing(*steps: dict[str, Any], **spec: Any) -> Manifest:
    strategy = {"steps": list(steps), "bake": "5s", "maxDuration": "10m"}
    return gray.rollout(strategy=strategy, **spec)


def retry(story: Story, attempts: int) -> None:
    """Have the user's own route send failed requests again."""

    def change(manifest: Manifest) -> None:
        retries = {"attempts": attempts, "retryOn": "5xx"}
        manifest["spec"]["http"][0]["retries"] = retries

    story.cluster.edit(VIRTUAL_SERVICE, gray.KEY, change)


def because(story: Story) -> str:
    return story.run().gates[0].because


def arrivals(story: Story) -> Arrivals:
    evidence = story.run().evidence
    assert evidence is not None
    assert evidence.arrivals is not None
    return evidence.arrivals


def asked_for_arrivals(metrics: FakeMetrics) -> int:
    """Save in the questions about the hours before a run."""
    texts = (text for text in metrics.asked if f":{past.GRID_SECONDS}s]" not in text)
    return sum('"destination"' in text for text in texts)


async def test_a_mirror_step_passes_on_copies_while_nobody_is_sent_to_the_canary() -> None:
    async with gray.told(climbing(*MIRRORED)) as story:
        Pods(story=story)
        await story.stable()
        story.want("v2")
        await story.until_step(1, within_seconds=30)
        await asyncio.sleep(5)
        # Statuses tell verdicts once a minute: whoever asks for something hears of them at once.
        story.edit(suspend=False)
        await asyncio.sleep(0.5)
        told, observed = because(story), story.run().observed_weight
        await story.until_step(2, within_seconds=30)
        await story.stable("v2", within_seconds=60)

        assert "canary copies failed" in told
        assert observed == 0
        assert story.canary_weights() == [0, 50, 100]
        past = story.status().history[0]
        assert past.canary_requests <= story.requests_of("v2")


async def test_failing_copies_roll_a_canary_back_that_never_answered_anybody_peers_182() -> None:
    async with gray.told(climbing(*MIRRORED)) as story:
        pods = Pods(story=story)
        await story.stable()
        pods.fail("v2", 20)
        story.want("v2")
        await story.until_phase("RolledBack", within_seconds=60)
        await asyncio.sleep(2)

        assert "canary copies failed" in story.status().history[0].because
        assert story.status().history[0].canary_requests == 0
        assert story.requests_of("v2") == 0
        assert story.canary_weights() == [0]
        assert story.managed() == []


async def test_copies_without_anybody_who_counts_them_hold_and_it_is_said() -> None:
    async with gray.told(climbing(*MIRRORED)) as story:
        Pods(story=story, sidecars=False)
        await story.stable()
        story.want("v2")
        await story.until_step(1, within_seconds=30)
        await asyncio.sleep(70)

        assert story.run().step == 1
        assert "no proxy beside a pod has counted a request" in because(story)


async def test_copies_of_a_mirror_step_are_not_counted_in_the_next_step() -> None:
    steps = (*MIRRORED[:1], {"weight": 1, "hold": "60s"})
    async with gray.told(climbing(*steps)) as story:
        Pods(story=story, attempts_max=2)
        retry(story, 2)
        await story.stable()
        story.want("v2")
        await story.until_step(2, within_seconds=30)
        # Something has the Rollout looked at before the pods are scraped again.
        story.set_ready("v3", ready=False)
        await asyncio.sleep(50)
        story.edit(suspend=False)
        await asyncio.sleep(1)

        counted = arrivals(story).gates["errors"].canary.requests
        assert 30 <= counted <= 51


async def test_a_canary_that_fails_half_of_its_attempts_is_taken_back_peers_171() -> None:
    async with gray.told(climbing(*SHIFTED)) as story:
        pods = Pods(story=story, attempts_max=9)
        retry(story, 9)
        await story.stable()
        pods.fail("v2", 50)
        story.want("v2")
        await story.until_phase("RolledBack", within_seconds=60)

        past = story.status().history[0]
        assert "canary attempts failed" in past.because
        assert "retries hide it from callers" in past.because
        assert past.max_weight == 20
        assert past.canary_failures == 0


async def test_retries_over_pods_without_sidecars_hold_nobody_up_and_it_is_said() -> None:
    async with gray.told(climbing(*SHIFTED)) as story:
        Pods(story=story, attempts_max=2, sidecars=False)
        retry(story, 2)
        await story.stable()
        story.want("v2")
        await story.until_step(2, within_seconds=60)
        await asyncio.sleep(5)
        story.edit(suspend=False)
        await asyncio.sleep(0.5)
        told = because(story)
        await story.stable("v2", within_seconds=60)

        assert "retries may hide some that failed" in told


@pytest.mark.parametrize("restarted", [False, True])
async def test_who_matches_is_no_pass_when_nobody_tells_of_the_canary_any_more(
    restarted: bool,
) -> None:
    matching = {"match": {"headers": {"x-canary": {"exact": "always"}}}, "hold": "60s"}
    story = gray.furnished(climbing(matching, {"weight": 50, "hold": "10s"}))
    story.matching_per_second = 20.0
    async with gray.running(gray.controller(story).run):
        await story.stable()
        story.want("v2")
        await story.until_step(1, within_seconds=30)
        await asyncio.sleep(20)
        for (version, _), counter in story.counters.items():
            if version == "v2":
                counter.vanish()
        await asyncio.sleep(1 if restarted else 120)
    if restarted:
        async with gray.running(gray.controller(story).run):
            await asyncio.sleep(120)

    assert story.run().step == 1
    assert story.canary_weights() == [0]
    assert "no new sample about v2" in story.status().message


async def test_a_restart_in_a_mirror_step_counts_nothing_twice() -> None:
    story = gray.furnished(climbing({"mirror": 50, "hold": "60s"}, {"weight": 50}))
    pods = Pods(story=story)
    async with gray.running(gray.controller(story).run):
        await story.stable()
        story.want("v2")
        await story.until_step(1, within_seconds=30)
        await asyncio.sleep(STARTED_AT_SECONDS)
        before = arrivals(story).gates["errors"].canary.requests
    async with gray.running(gray.controller(story).run):
        await asyncio.sleep(STARTED_AT_SECONDS)
        story.edit(suspend=False)
        await asyncio.sleep(0.5)
        counted = arrivals(story).gates["errors"].canary.requests

    arrived = pods.counters["destination/v2", "200"]
    arrived.catch_up()
    assert counted > before
    assert arrived.samples[-1][1] - 150 <= counted <= arrived.samples[-1][1]


async def test_a_run_that_hides_nothing_asks_nothing_more() -> None:
    async with gray.told() as story:
        Pods(story=story)
        await story.stable()
        story.want("v2")
        await story.stable("v2", within_seconds=120)

        assert asked_for_arrivals(story.metrics) == 0


async def test_arrivals_are_asked_for_only_while_something_is_mirrored() -> None:
    async with gray.told(climbing(*MIRRORED)) as story:
        Pods(story=story)
        await story.stable()
        story.want("v2")
        await story.until_step(2, within_seconds=60)
        await asyncio.sleep(1)
        asked = asked_for_arrivals(story.metrics)
        await story.stable("v2", within_seconds=60)

        assert asked > 0
        assert asked_for_arrivals(story.metrics) == asked


async def test_a_canary_without_a_healthy_host_is_taken_back_peers_181() -> None:
    async with gray.told(climbing(*SHIFTED)) as story:
        pods = Pods(story=story)
        await story.stable()
        story.want("v2")
        await story.until_step(1, within_seconds=30)
        await asyncio.sleep(5)
        pods.lose("v2", 90)
        await story.until_phase("RolledBack", within_seconds=60)

        assert "found no upstream" in story.status().history[0].because


async def test_requests_that_stable_loses_are_not_blamed_on_the_canary() -> None:
    async with gray.told(climbing(*SHIFTED)) as story:
        pods = Pods(story=story)
        await story.stable()
        story.want("v2")
        await story.until_step(1, within_seconds=30)
        pods.lose("v1", 20)
        await asyncio.sleep(70)

        assert story.status().phase == "Progressing"
        assert story.run().gates[0].verdict is Verdict.UNKNOWN
        assert "belong to no revision" in because(story)


async def test_attempts_are_judged_in_the_step_after_a_mirror_before_it_is_over() -> None:
    steps = ({"mirror": 50, "hold": "10s"}, {"weight": 50, "hold": "5s"})
    async with gray.told(climbing(*steps)) as story:
        pods = Pods(story=story, attempts_max=9)
        retry(story, 9)
        await story.stable()
        story.want("v2")
        await story.until_step(2, within_seconds=60)
        pods.fail("v2", 50)
        await story.until_phase("RolledBack", within_seconds=90)

        assert story.canary_weights() == [0, 50, 0]
        assert "retries hide it from callers" in story.status().history[0].because


async def test_a_match_after_a_mirror_waits_for_requests_that_match() -> None:
    match = {"headers": {"x-canary": {"exact": "always"}}}
    steps = ({"mirror": 50, "hold": "10s"}, {"match": match, "hold": "10s"}, {"weight": 50})
    story = gray.furnished(climbing(*steps))
    Pods(story=story)
    async with gray.running(gray.controller(story).run):
        await story.stable()
        story.want("v2")
        await story.until_step(2, within_seconds=60)
        await asyncio.sleep(70)

        assert story.run().step == 2
        assert "canary has 0 of" in story.status().message
