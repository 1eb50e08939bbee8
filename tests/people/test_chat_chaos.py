"""Slack down, slow, rate limited, forgetful, and presses that come twice, by seed, for hours.

Each transition is told once and in order, no approval is lost or doubled, and no step takes longer
than it would with nobody to tell. ``ROLLOUT_CHAOS_SEEDS=200`` tries more seeds.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from itertools import pairwise
from random import Random
from typing import Any

import pytest

from rollout.api.chat import Member, Standing
from rollout.api.meta import ROLLOUT, Kind, Manifest
from rollout.api.notify import News, Telling
from rollout.api.reading import read_status
from rollout.base.errors import Overloaded, Uncertain, Unreachable
from rollout.controller.correspondence import Outlets
from rollout.views import slack_reply
from tests.stories import gray
from tests.stories.gray import Story
from tests.world.chat import FakeChat
from tests.world.clock import simulate

SEEDS = range(int(os.environ.get("ROLLOUT_CHAOS_SEEDS", "6")))
ALICE = "U0ALICE"
REVISIONS = ("v2", "v3", "v1", "v2")
DELAY_SECONDS_MAX = 0.05
SLACK = "Slack"

STRATEGY: dict[str, Any] = {
    "steps": [
        {"weight": 5, "hold": "40s"},
        {"approval": {"approvers": {"users": ["alice@example.com"]}}},
        {"weight": 50, "hold": "60s"},
        {"weight": 100},
    ],
    "bake": "5s",
    "maxDuration": "24h",
}

MOODS: Mapping[str, tuple[float, float]] = {
    "well": (0.0, 0.3),
    "slow": (0.0, 9.0),
    "shaky": (0.4, 2.0),
    "down": (1.0, 0.1),
}
"""How often a call fails, and the most seconds that it takes."""


class MoodyChat(FakeChat):
    """A chat that changes its mood every few minutes."""

    def __init__(self, story: Story, random: Random) -> None:
        super().__init__(story.clock)
        self.random = random
        self.mood = "well"
        self.members[ALICE] = Member(
            id=ALICE, name="alice", email="alice@example.com", standing=Standing.MEMBER
        )

    async def live(self, *, hours: float) -> None:
        """Have moods, then none."""
        left_seconds = hours * 3600
        while left_seconds > 0:
            self.mood = self.random.choice(list(MOODS))
            lasts_seconds = self.random.uniform(20, 1500)
            await asyncio.sleep(lasts_seconds)
            left_seconds -= lasts_seconds
        self.mood = "well"

    async def _before(self) -> bool:
        """Whether the call fails once it has had its effect; some fail before it."""
        often, seconds = MOODS[self.mood]
        await asyncio.sleep(self.random.uniform(0, seconds))
        if self.random.random() >= often:
            return False
        kind = self.random.choice(["refused", "limited", "lost", "done"])
        if kind == "refused":
            raise Unreachable(SLACK, why="connection refused")
        if kind == "limited":
            raise Overloaded(SLACK, retry_after_seconds=self.random.uniform(1, 30))
        if kind == "lost":
            raise Uncertain(SLACK, what="a call", why="the answer was lost")
        return True

    async def post(self, *args: Any, **fields: Any) -> Any:
        is_lost = await self._before()
        found = await super().post(*args, **fields)
        if is_lost:
            raise Uncertain(SLACK, what="a post", why="the answer was lost")
        return found

    async def update(self, *args: Any) -> None:
        is_lost = await self._before()
        await super().update(*args)
        if is_lost:
            raise Uncertain(SLACK, what="an update", why="the answer was lost")

    async def who(self, *args: Any, **fields: Any) -> Member:
        if await self._before():
            raise Unreachable(SLACK, why="the answer was lost")
        return await super().who(*args, **fields)

    async def whisper(self, *args: Any) -> None:
        await self._before()
        await super().whisper(*args)


class Witness:
    """What the statuses said, as they were written."""

    def __init__(self, story: Story) -> None:
        self.tellings: dict[int, Telling] = {}
        self.began: dict[tuple[str, int], float] = {}
        self._story = story
        story.cluster.heard = self._heard

    def _heard(self, kind: Kind, manifest: Manifest) -> None:
        self._story.heard(kind, manifest)
        if kind != ROLLOUT:
            return
        status = read_status(manifest)
        for telling in status.outbox:
            self.tellings.setdefault(telling.id, telling)
        run = status.run
        if run is not None:
            now = self._story.clock.monotonic_seconds()
            self.began.setdefault((run.id, run.step), now)
            if run.ended_at is not None:
                self.began.setdefault((run.id, -1), now)

    def lengths(self, run: str) -> list[float]:
        """How long the steps took that wait for nobody, and the bake."""
        at = [self.began[run, number] for number in (1, 2, 3, 4, 5, -1)]
        spans = [after - before for before, after in pairwise(at)]
        return [spans[0], *spans[2:]]


async def pressing(chat: MoodyChat, random: Random) -> None:
    """Somebody who approves whatever asks for it, and often presses twice."""
    while True:
        await asyncio.sleep(random.uniform(5, 90))
        for head in chat.heads()[-1:]:
            try:
                value = head.button("rollout.approve")
            except LookupError:
                continue
            presses = random.choice([1, 1, 2, 3])
            await asyncio.gather(
                *(
                    chat.press(head, "rollout.approve", member=ALICE, value=value)
                    for _ in range(presses)
                )
            )


def is_stable(story: Story, revision: str) -> bool:
    status = story.status()
    return status.phase == "Stable" and status.stable_revision == revision


async def live(seed: int, *, calm: bool) -> tuple[Story, MoodyChat, Witness]:
    manifest = gray.rollout(strategy=STRATEGY, notify={"slack": {"channel": "#deploys"}})
    story = gray.furnished(manifest)
    story.metrics.scrape_seconds = 15.0
    random = Random(seed)
    chat, witness = MoodyChat(story, random), Witness(story)
    outlets = Outlets(chat=chat, pressable=True, has_socket=True)
    async with (
        gray.running(gray.controller(story, outlets=outlets).run),
        asyncio.TaskGroup() as tasks,
    ):
        moods = tasks.create_task(chat.live(hours=0.0 if calm else 3.0))
        hands = tasks.create_task(pressing(chat, random))
        await story.stable()
        for revision in REVISIONS:
            story.want(revision)
            await story.until(
                lambda revision=revision: is_stable(story, revision),  # type: ignore[misc]
                within_seconds=6 * 3600,
                look_seconds=5.0,
            )
            await asyncio.sleep(random.uniform(0, 600))
        moods.cancel()
        chat.mood = "well"
        await asyncio.sleep(300)
        hands.cancel()
    return story, chat, witness


@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_slack_does_each_thing_is_told_once_in_order_and_nobody_waits(seed: int) -> None:
    story, chat, witness = simulate(live(seed, calm=False))
    _, _, calm = simulate(live(seed, calm=True))

    heads = chat.heads()
    assert len(heads) == len(REVISIONS)
    for number, head in enumerate(heads, start=1):
        told = [one.message.text for one in chat.thread(head.spot)]
        meant = [t for _, t in sorted(witness.tellings.items()) if t.run == str(number)]
        assert told == [slack_reply.reply(t).text for t in meant]
        assert sum(t.news is News.APPROVED for t in meant) == 1
        assert sum(t.news is News.PROMOTED for t in meant) == 1
        for took, usual in zip(
            witness.lengths(str(number)), calm.lengths(str(number)), strict=True
        ):
            assert took - usual <= DELAY_SECONDS_MAX
    assert story.status().outbox == ()
    assert [past.outcome for past in story.status().history] == ["Promoted"] * len(REVISIONS)
