"""A gray release as machines are told it: plain JSON and CloudEvents, in simulated time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from rollout.api.meta import Manifest
from rollout.base.errors import HookRefused, Overloaded, Unreachable
from rollout.controller.correspondence import Outlets
from rollout.controller.rounds import REFUSED_SECONDS
from tests.stories import gray
from tests.stories.gray import Story
from tests.world.hooks import FakeHooks, Posted

pytestmark = pytest.mark.looptime(noop_cycles=1)

PREFIX = "https://hooks.example.com/"
PLAIN, EVENTS = f"{PREFIX}plain", f"{PREFIX}events"
DOWN = Unreachable(PREFIX, why="refused")

SHORT: dict[str, Any] = {
    "steps": [{"weight": 5, "hold": "10s"}, {"weight": 50, "hold": "10s"}, {"weight": 100}],
    "bake": "5s",
    "maxDuration": "12h",
}
ALL = ["Started", *["StepBegan"] * 4, "Promoted"]


def rollout(**notify: Any) -> Manifest:
    wanted = notify or {"webhook": {"url": PLAIN}, "cloudEvents": {"url": EVENTS}}
    return gray.rollout(strategy=SHORT, notify=wanted)


@dataclass(kw_only=True)
class Exchange:
    """A story, and those who are told it."""

    story: Story
    hooks: FakeHooks

    async def release(self) -> None:
        self.story.want("v2")
        await self.story.stable("v2", within_seconds=120)


@asynccontextmanager
async def working(place: Exchange) -> AsyncIterator[None]:
    outlets = Outlets(hooks=place.hooks, hook_prefixes=(PREFIX,))
    async with gray.running(gray.controller(place.story, outlets=outlets).run):
        yield


def exchange(manifest: Manifest) -> Exchange:
    story = gray.furnished(manifest)
    return Exchange(story=story, hooks=FakeHooks(clock=story.clock))


@asynccontextmanager
async def told(manifest: Manifest) -> AsyncIterator[Exchange]:
    place = exchange(manifest)
    async with working(place):
        await place.story.stable()
        yield place


def news(posted: list[Posted]) -> list[str]:
    return [one.document.get("data", one.document)["news"] for one in posted]


def once(posted: list[Posted]) -> list[Posted]:
    """Without what came again under the same key, as a careful receiver sees it."""
    return list({one.key: one for one in reversed(posted)}.values())[::-1]


async def test_both_are_told_everything_once_and_in_order() -> None:
    async with told(rollout()) as place:
        await place.release()
        await asyncio.sleep(5)

        for url, content in ((PLAIN, "application/json"), (EVENTS, "application/cloudevents+json")):
            posted = place.hooks.at(url)
            assert news(posted) == ALL
            assert {one.content_type for one in posted} == {content}
            assert [one.key for one in posted] == [one.document["id"] for one in posted]
            assert len({one.key for one in posted}) == len(posted)
        assert place.story.status().outbox == ()


async def test_who_wants_to_know_of_some_is_told_of_those() -> None:
    manifest = rollout(webhook={"url": PLAIN, "news": ["Promoted"]}, cloudEvents={"url": EVENTS})
    async with told(manifest) as place:
        await place.release()
        await asyncio.sleep(5)

        assert news(place.hooks.at(PLAIN)) == ["Promoted"]
        assert news(place.hooks.at(EVENTS)) == ALL


@pytest.mark.parametrize(
    "error", [DOWN, Overloaded(PREFIX, retry_after_seconds=30)], ids=["down", "overloaded"]
)
async def test_receivers_down_for_an_hour_lose_nothing_and_delay_no_one(
    error: Unreachable | Overloaded,
) -> None:
    async with told(rollout()) as place:
        place.hooks.errors[PREFIX] = error
        await place.release()
        took = place.story.status().history[0]
        await asyncio.sleep(3600)
        assert place.hooks.taken == []
        assert len(place.hooks.posted) < 300

        place.hooks.errors.clear()
        await asyncio.sleep(120)

        assert (took.ended_at - took.started_at).total_seconds() < 40
        assert news(place.hooks.at(PLAIN)) == ALL
        assert news(place.hooks.at(EVENTS)) == ALL
        assert place.story.status().outbox == ()


async def test_one_that_hangs_delays_neither_the_run_nor_the_other() -> None:
    async with told(rollout()) as place:
        place.hooks.hanging.add(PLAIN)
        await place.release()
        took = place.story.status().history[0]
        await asyncio.sleep(2)

        assert (took.ended_at - took.started_at).total_seconds() < 40
        assert news(place.hooks.at(EVENTS)) == ALL
        assert place.hooks.at(PLAIN) == []


async def test_what_was_taken_and_not_answered_comes_again_under_the_same_key() -> None:
    async with told(rollout(webhook={"url": PLAIN})) as place:
        place.hooks.errors[PREFIX], place.hooks.takes_and_fails = DOWN, True
        place.story.want("v2")
        await asyncio.sleep(8)
        place.hooks.errors.clear()
        await place.story.stable("v2", within_seconds=120)
        await asyncio.sleep(70)

        posted = place.hooks.at(PLAIN)
        assert len(posted) > len(ALL)
        assert news(once(posted)) == ALL
        by_key: dict[str, Any] = {}
        for one in posted:
            assert by_key.setdefault(one.key, one.document) == one.document


async def test_a_controller_that_is_killed_tells_all_and_the_same_under_the_same_key() -> None:
    place = exchange(rollout(webhook={"url": PLAIN}))
    async with working(place):
        await place.story.stable()
        place.story.want("v2")
        await place.story.until(lambda: bool(place.hooks.posted), within_seconds=30)
    for _ in range(5):
        async with working(place):
            await asyncio.sleep(0.3)
    async with working(place):
        await place.story.stable("v2", within_seconds=120)
        await asyncio.sleep(10)

        assert news(once(place.hooks.at(PLAIN))) == ALL


async def test_an_address_that_is_not_allowed_is_told_in_a_note_and_never_asked() -> None:
    elsewhere = "https://elsewhere.example.com/?token=secret"
    manifest = rollout(webhook={"url": elsewhere}, cloudEvents={"url": EVENTS})
    async with told(manifest) as place:
        place.story.want("v2")
        await place.story.until_step(2, within_seconds=60)

        (note,) = [n for n in place.story.status().notes if n.reason == "NotTold"]
        assert note.message == (
            "spec.notify.webhook.url is no address we may post to; "
            "let an operator add how it begins to ROLLOUT_HOOKS"
        )
        await place.story.stable("v2", within_seconds=60)
        await asyncio.sleep(5)
        assert {one.url for one in place.hooks.posted} == {EVENTS}


async def test_who_says_no_is_told_of_in_a_note_until_somebody_mends_it() -> None:
    async with told(rollout(webhook={"url": PLAIN})) as place:
        place.hooks.errors[PLAIN] = HookRefused(PREFIX, status_code=401, told="who are you")
        place.story.want("v2")
        await place.story.until_step(2, within_seconds=60)

        (note,) = [n for n in place.story.status().notes if n.reason == "NotTold"]
        assert note.message == f"webhook is not told: {PREFIX} answered 401: who are you"
        place.hooks.errors.clear()
        await asyncio.sleep(2 * REFUSED_SECONDS)
        assert news(place.hooks.at(PLAIN)) == ALL


async def test_nobody_is_sent_anything_where_nobody_is_to_be_told() -> None:
    async with told(gray.rollout(strategy=SHORT)) as place:
        await place.release()

        assert place.hooks.posted == []
        assert place.story.status().outbox == ()
