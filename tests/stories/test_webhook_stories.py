"""Runs that ask webhooks before they go on, in simulated time, against the whole controller."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from rollout.api.action import Verb
from rollout.api.meta import ROLLOUT, Key, Manifest
from rollout.base.errors import HookRefused, Overloaded, Unreachable
from rollout.controller.correspondence import Outlets
from tests.stories import gray
from tests.stories.gray import Story
from tests.world.hooks import FakeHooks
from tests.world.mortal import Mortal

pytestmark = pytest.mark.looptime(noop_cycles=1)

PREFIX = "https://hooks.example.com/"
DOWN = Unreachable(PREFIX, why="refused")
NO = HookRefused(PREFIX, status_code=409, told="two tests fail.")


def hook(name: str = "smoke", point: str = "BeforeFirstTraffic", **fields: Any) -> dict[str, Any]:
    return {"name": name, "point": point, "url": f"{PREFIX}{name}", **fields}


def rollout(*hooks: dict[str, Any]) -> Manifest:
    return gray.rollout(webhooks=list(hooks))


@dataclass(kw_only=True)
class Play:
    """A story, and the webhooks in it."""

    story: Story
    hooks: FakeHooks
    prefixes: tuple[str, ...] = (PREFIX,)

    def keys(self) -> list[str]:
        return [one.key.split("/", 1)[1] for one in self.hooks.posted]


def play(manifest: Manifest) -> Play:
    story = gray.furnished(manifest)
    return Play(story=story, hooks=FakeHooks(clock=story.clock))


@asynccontextmanager
async def working(place: Play) -> AsyncIterator[None]:
    outlets = Outlets(hooks=place.hooks, hook_prefixes=place.prefixes)
    async with gray.running(gray.controller(place.story, outlets=outlets).run):
        yield


@asynccontextmanager
async def told(*hooks: dict[str, Any]) -> AsyncIterator[Play]:
    place = play(rollout(*hooks))
    async with working(place):
        await place.story.stable()
        yield place


async def test_a_release_asks_at_each_point_and_says_so() -> None:
    hooks = (
        *(hook(), hook("each", "BeforeStep"), hook("last", "BeforePromotion")),
        *(hook("over", "AfterPromotion"), hook("back", "AfterRollback")),
    )
    async with told(*hooks) as place:
        place.story.want("v2")
        await place.story.stable("v2", within_seconds=120)
        await asyncio.sleep(5)

        assert place.keys() == [
            *("1/BeforeFirstTraffic/1/smoke", "1/BeforeStep/1/each", "1/BeforeStep/2/each"),
            *("1/BeforeStep/3/each", "1/BeforePromotion/3/last", "1/AfterPromotion/4/over"),
        ]
        assert [(r.name, r.outcome, r.attempts) for r in place.story.run().hooks] == [
            (name, "Passed", 1) for name in ("smoke", "each", "last", "over")
        ]
        assert len(place.story.events("WebhookPassed")) == 6


async def test_a_receiver_is_told_all_that_it_needs() -> None:
    async with told(hook("each", "BeforeStep", steps=[2]), hook("over", "AfterPromotion")) as place:
        place.story.want("v2")
        await place.story.stable("v2", within_seconds=120)
        await asyncio.sleep(5)

        before, after = (one.document for one in place.hooks.posted)
        uid = place.story.cluster.peek(ROLLOUT, gray.KEY)["metadata"].get("uid", "")
        assert before == {
            "id": f"{uid}/1/BeforeStep/2/each",
            "webhook": "each",
            "point": "BeforeStep",
            "round": 1,
            "namespace": "shop",
            "name": "reviews",
            "host": "reviews",
            "run": "1",
            "stableRevision": "v1",
            "canaryRevision": "v2",
            "startedAt": before["startedAt"],
            "step": 2,
            "steps": 3,
            "weight": 5,
            "nextWeight": 50,
        }
        assert after["outcome"] == "Promoted"
        assert after["because"].startswith("promoted after")
        assert after["endedAt"] > after["startedAt"]


async def test_a_no_before_any_traffic_sends_nobody_to_the_canary() -> None:
    async with told(hook(), hook("back", "AfterRollback")) as place:
        place.hooks.errors[f"{PREFIX}smoke"] = NO
        place.story.want("v2")
        await place.story.until_phase("RolledBack", within_seconds=30)
        await asyncio.sleep(2)

        assert max(place.story.canary_weights(), default=0) == 0
        assert place.story.status().history[0].because == (
            f"webhook smoke failed before any traffic: {PREFIX} answered 409: two tests fail"
        )
        assert place.story.events("WebhookFailed")
        assert place.keys() == ["1/BeforeFirstTraffic/1/smoke", "1/AfterRollback/0/back"]


async def test_no_answer_is_asked_again_under_the_same_key_and_later_each_time() -> None:
    async with told(hook(retries=4)) as place:
        place.hooks.errors[PREFIX] = DOWN
        place.story.want("v2")
        await place.story.until_phase("RolledBack", within_seconds=60)

        times = [one.at_seconds for one in place.hooks.posted]
        gaps = [round(b - a) for a, b in itertools.pairwise(times)]
        assert gaps == [1, 2, 4, 8]
        assert len({one.key for one in place.hooks.posted}) == 1
        assert place.story.run().hooks[0].attempts == 5


async def test_who_asks_for_patience_gets_it() -> None:
    async with told(hook(retries=2)) as place:
        place.hooks.errors[PREFIX] = Overloaded(PREFIX, retry_after_seconds=20)
        place.story.want("v2")
        await place.story.until(lambda: len(place.hooks.posted) == 2, within_seconds=60)
        place.hooks.errors.clear()

        await place.story.until_step(1, within_seconds=60)

        first, second, third = (one.at_seconds for one in place.hooks.posted)
        assert second - first >= 20
        assert third - second >= 20
        assert place.story.run().hooks[0].attempts == 3


async def test_one_that_hangs_is_cut_at_its_timeout_and_delays_no_other_rollout_peers_99() -> None:
    place = play(rollout(hook(timeout="5s", retries=100 // 5, failure="Hold")))
    other = Key(gray.NAMESPACE, "ratings")
    gray.furnish(place.story.cluster, other.name)
    manifest = gray.rollout(webhooks=[{**hook(), "url": f"{PREFIX}other"}], gates=[])
    manifest["metadata"]["name"] = other.name
    manifest["spec"]["host"] = other.name
    place.story.cluster.put(ROLLOUT, manifest)
    place.hooks.hanging.add(f"{PREFIX}smoke")
    async with working(place):
        await place.story.stable()
        for key in (gray.KEY, other):
            place.story.cluster.edit(ROLLOUT, key, lambda m: m["spec"].update(revision="v2"))

        def promoted() -> bool:
            status = place.story.cluster.peek(ROLLOUT, other).get("status", {})
            return bool(status.get("stableRevision") == "v2")

        await place.story.until(promoted, within_seconds=60)

        assert place.story.run().step == 0
        times = [one.at_seconds for one in place.hooks.posted if one.url.endswith("smoke")]
        assert times[1] - times[0] == pytest.approx(6, abs=0.1)


async def test_an_abort_waits_for_none_and_lets_go_of_those_that_were_asked() -> None:
    async with told(hook("each", "BeforeStep", steps=[2], retries=20)) as place:
        place.hooks.errors[PREFIX] = DOWN
        place.story.want("v2")
        await place.story.until(lambda: bool(place.hooks.posted), within_seconds=60)
        place.story.command(Verb.ABORT)
        await place.story.until_phase("RolledBack", within_seconds=5)
        asked = len(place.hooks.posted)
        await asyncio.sleep(600)

        assert len(place.hooks.posted) == asked
        assert place.story.weight("v2") == 0


async def test_a_bad_canary_goes_back_while_a_webhook_hangs() -> None:
    async with told(hook("each", "BeforeStep", steps=[2], timeout="5m")) as place:
        place.hooks.hanging.add(PREFIX)
        place.story.want("v2")
        await place.story.until(lambda: bool(place.hooks.posted), within_seconds=60)
        place.story.fail("v2", 60)

        await place.story.until_phase("RolledBack", within_seconds=60)

        assert place.story.run().ending is not None
        assert place.story.run().ending.gate == "errors"  # type: ignore[union-attr]


async def test_a_no_that_holds_is_asked_anew_under_a_new_key_and_nobody_promotes_past_it() -> None:
    async with told(hook("each", "BeforeStep", steps=[2], failure="Hold")) as place:
        place.hooks.errors[PREFIX] = NO
        place.story.want("v2")
        await place.story.until_phase("Waiting", within_seconds=60)
        await asyncio.sleep(1)
        key = place.story.command(Verb.PROMOTE)
        await asyncio.sleep(1)
        assert place.story.answer(key)["outcome"] == "Refused"
        assert "webhook each failed before step 2" in place.story.answer(key)["message"]

        await asyncio.sleep(60)
        place.hooks.errors.clear()
        await place.story.until_step(2, within_seconds=70)

        assert place.keys() == [
            "1/BeforeStep/2/each",
            "1/BeforeStep/2/each/2",
            "1/BeforeStep/2/each/3",
        ]


async def test_a_promotion_by_a_person_waits_for_the_webhook_and_survives_a_restart() -> None:
    place = play(rollout(hook("each", "BeforeStep", steps=[2], failure="Hold")))
    place.hooks.hanging.add(PREFIX)
    async with working(place):
        await place.story.stable()
        place.story.edit(strategy={"steps": [{"weight": 5, "hold": "1h"}, {"weight": 100}]})
        place.story.want("v2")
        await place.story.until_step(1, within_seconds=60)
        await asyncio.sleep(3)
        key = place.story.command(Verb.PROMOTE)
        await asyncio.sleep(2)
        assert place.story.answer(key)["message"] == "step 1 ends once webhook each passes"
    place.hooks.hanging.clear()
    async with working(place):
        await place.story.until_step(2, within_seconds=30)

        assert set(place.keys()) == {"1/BeforeStep/2/each"}


async def test_what_was_answered_is_not_asked_again_after_a_restart() -> None:
    place = play(rollout(hook(), hook("each", "BeforeStep", steps=[2])))
    async with working(place):
        await place.story.stable()
        place.story.want("v2")
        await place.story.until_step(1, within_seconds=60)
    async with working(place):
        await place.story.stable("v2", within_seconds=120)

        assert place.keys() == ["1/BeforeFirstTraffic/1/smoke", "1/BeforeStep/2/each"]


@pytest.mark.parametrize("writes_count", range(1, 14))
async def test_a_kill_at_any_write_asks_again_in_the_same_words_and_ends_the_same(
    writes_count: int,
) -> None:
    place = play(rollout(hook(), hook("each", "BeforeStep"), hook("over", "AfterPromotion")))
    place.story.want("v2")
    outlets = Outlets(hooks=place.hooks, hook_prefixes=place.prefixes)
    mortal = Mortal(place.story.cluster, writes_count=writes_count, effective=True)
    async with gray.running(gray.controller(place.story, mortal, outlets=outlets).run):
        await asyncio.wait_for(mortal.died.wait(), 120)
    async with working(place):
        await place.story.stable("v2", within_seconds=180)
        await asyncio.sleep(5)

        assert set(place.keys()) == {
            *("1/BeforeFirstTraffic/1/smoke", "1/AfterPromotion/4/over"),
            *(f"1/BeforeStep/{step}/each" for step in (1, 2, 3)),
        }
        words: dict[str, Any] = {}
        for one in place.hooks.posted:
            assert words.setdefault(one.key, one.document) == one.document


async def test_an_address_that_is_not_allowed_blocks_before_any_traffic_and_says_what_to_do() -> (
    None
):
    place = play(rollout({**hook(), "url": "https://elsewhere.example.com/?token=secret"}))
    async with working(place):
        await place.story.stable()
        place.story.want("v2")
        await place.story.until_phase("Blocked", within_seconds=10)

        message = place.story.status().message
        assert "spec.webhooks[0].url (smoke) is no address we may post to" in message
        assert "ROLLOUT_HOOKS" in message
        assert "secret" not in message
        assert place.hooks.posted == []
        place.story.edit(webhooks=[hook()])
        await place.story.stable("v2", within_seconds=120)


async def test_a_controller_that_may_post_nowhere_blocks_too() -> None:
    story = gray.furnished(rollout(hook()))
    async with gray.running(gray.controller(story).run):
        await story.stable()
        story.want("v2")

        await story.until_phase("Blocked", within_seconds=10)


async def test_a_no_after_the_run_changes_nothing_and_is_on_record() -> None:
    async with told(hook("over", "AfterPromotion")) as place:
        place.hooks.errors[PREFIX] = NO
        place.story.want("v2")
        await place.story.stable("v2", within_seconds=120)
        await asyncio.sleep(5)

        assert place.story.status().phase == "Stable"
        (result,) = place.story.run().hooks
        assert result.because == f"{PREFIX} answered 409: two tests fail"


async def test_an_address_that_is_not_allowed_any_more_after_the_run_is_told_and_not_asked() -> (
    None
):
    place = play(rollout(hook("over", "AfterPromotion")))
    async with working(place):
        await place.story.stable()
        place.story.want("v2")
        await place.story.until_step(1, within_seconds=60)
    place.prefixes = ("https://other.example.com/",)
    async with working(place):
        await place.story.stable("v2", within_seconds=120)
        await asyncio.sleep(5)

        (result,) = place.story.run().hooks
        assert (result.outcome, result.because) == ("Failed", "its address is not allowed")
        assert place.hooks.posted == []
        assert len(place.story.events("WebhookFailed")) == 1


async def test_a_rollout_that_is_made_anew_has_its_own_answers() -> None:
    async with told(hook(timeout="30s", retries=0)) as place:
        place.hooks.hanging.add(PREFIX)
        place.story.want("v2")
        await place.story.until(lambda: bool(place.hooks.posted), within_seconds=30)
        place.story.cluster.remove(ROLLOUT, gray.KEY)
        await asyncio.sleep(3)
        place.hooks.hanging.clear()
        place.story.cluster.put(ROLLOUT, rollout(hook()))
        await place.story.stable()
        place.story.want("v2")

        await place.story.stable("v2", within_seconds=120)

        assert len(place.hooks.taken) == 1
