"""Asking webhooks: each question once, beside the loop; what nobody wants any more is let go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from rollout.api.meta import Key, Manifest
from rollout.api.phase import Outcome
from rollout.api.status import Ending, RolloutStatus
from rollout.api.webhook import BECAUSE_LENGTH_MAX, HookPoint, HookResult, Webhook
from rollout.base.errors import HookRefused, Unreachable
from rollout.controller.hooking import AT_ONCE_COUNT_MAX, Hooking
from rollout.engine.decision import Decision, HookCall
from tests.stories import gray
from tests.world.clock import START, FakeClock
from tests.world.engine_world import World, at_step, spec_of
from tests.world.hooks import FakeHooks

pytestmark = pytest.mark.looptime(noop_cycles=1)

PREFIX = "https://hooks.example.com/"
KEY = Key("bookinfo", "reviews")


def hook(name: str = "smoke", **fields: Any) -> dict[str, Any]:
    return {"name": name, "point": "BeforeStep", "url": f"{PREFIX}{name}", **fields}


class Desk:
    """A hooking, what it rings, and decisions to give to it."""

    def __init__(self, *, prefixes: tuple[str, ...] = (PREFIX,), posts: bool = True) -> None:
        self.hooks = FakeHooks(clock=FakeClock())
        self.rung: list[Key] = []
        self.hooking = Hooking(
            self.hooks if posts else None,
            prefixes=prefixes,
            clock=FakeClock(),
            ring=self.rung.append,
        )
        spec = spec_of(webhooks=[hook(timeout="5s", retries=2), hook("other")])
        self.world: World = at_step(1, spec=spec)

    def manifest(self, *, name: str = "reviews", uid: str = "u-1") -> Manifest:
        return {"metadata": {"name": name, "namespace": "bookinfo", "uid": uid}}

    def decision(self, *names: str, step: int = 2, **changes: Any) -> Decision:
        known: dict[str, Webhook] = {h.name: h for h in self.world.run.plan.webhooks}
        run = self.world.run.model_copy(update=changes)
        calls = [HookCall(run=run.id, step=step, round=1, webhook=known[n]) for n in names]
        return Decision(
            status=RolloutStatus(run=run),
            weights=None,
            finalizer=True,
            because="it waits",
            look_again_at=None,
            hooks=tuple(calls),
        )

    def heard(self, *, uid: str = "u-1", run: str = "") -> list[HookResult]:
        o = self.world.observe()
        if run:
            other = self.world.run.model_copy(update={"id": run})
            o = replace(o, status=o.status.model_copy(update={"run": other}))
        return list(self.hooking.seen(self.manifest(uid=uid), o).hooks)


@asynccontextmanager
async def asking(desk: Desk) -> AsyncIterator[Desk]:
    async with gray.running(desk.hooking.run):
        yield desk


async def test_a_question_is_asked_once_however_often_it_is_wanted_and_rings() -> None:
    async with asking(Desk()) as desk:
        for _ in range(3):
            desk.hooking.want(desk.manifest(), desk.decision("smoke"))
            await asyncio.sleep(1)
            desk.hooking.want(desk.manifest(), desk.decision("smoke"))

        assert len(desk.hooks.posted) == 1
        assert desk.rung == [KEY]
        (result,) = desk.heard()
        assert (result.name, result.step, result.outcome) == ("smoke", 2, "Passed")
        assert result.at >= START


async def test_what_was_said_belongs_to_one_rollout_and_one_run() -> None:
    async with asking(Desk()) as desk:
        desk.hooking.want(desk.manifest(), desk.decision("smoke"))
        await asyncio.sleep(1)

        assert desk.heard(uid="u-2") == []
        assert desk.heard(run="99") == []
        assert len(desk.heard()) == 1


async def test_of_each_webhook_the_newest_answer_is_kept() -> None:
    async with asking(Desk()) as desk:
        for step in (2, 3, 4):
            desk.hooking.want(desk.manifest(), desk.decision("smoke", "other", step=step))
            await asyncio.sleep(1)

        assert [(r.name, r.step) for r in desk.heard()] == [("smoke", 4), ("other", 4)]


@pytest.mark.parametrize("end", ["forgotten", "ending", "another run", "anew"])
async def test_nobody_is_asked_again_for_what_nobody_wants_to_know(end: str) -> None:
    async with asking(Desk()) as desk:
        desk.hooks.errors[PREFIX] = Unreachable(PREFIX, why="refused")
        desk.hooking.want(desk.manifest(), desk.decision("smoke"))
        await asyncio.sleep(0.5)
        if end == "forgotten":
            desk.hooking.forget(KEY)
        elif end == "ending":
            over = Ending(outcome=Outcome.ABORTED, because="no", decided_at=START)
            desk.hooking.want(desk.manifest(), desk.decision(ending=over))
        elif end == "another run":
            desk.hooking.want(desk.manifest(), desk.decision(id="9"))
        else:
            desk.hooking.want(desk.manifest(uid="u-2"), desk.decision())
        await asyncio.sleep(100)

        assert len(desk.hooks.posted) == 1
        assert desk.rung == []
        assert desk.heard() == []


async def test_what_only_informs_is_told_to_its_end_whatever_comes_next() -> None:
    desk = Desk()
    spec = spec_of(webhooks=[hook(point="AfterRollback", retries=3)])
    desk.world = at_step(1, spec=spec)
    desk.hooks.errors[PREFIX] = Unreachable(PREFIX, why="refused")
    async with asking(desk):
        ending = Ending(outcome=Outcome.SUPERSEDED, because="v3 is wanted", decided_at=START)
        desk.hooking.want(desk.manifest(), desk.decision("smoke", ending=ending, ended_at=START))
        await asyncio.sleep(0.5)
        desk.hooking.want(desk.manifest(), desk.decision(id="9"))
        desk.hooks.errors.clear()
        await asyncio.sleep(10)

        assert len(desk.hooks.taken) == 1


async def test_a_server_is_asked_some_questions_at_a_time_and_another_one_at_once() -> None:
    desk = Desk(prefixes=(PREFIX, "https://quick.example.com/"))
    desk.hooks.hanging.add(PREFIX)
    async with asking(desk):
        for number in range(AT_ONCE_COUNT_MAX + 5):
            desk.hooking.want(desk.manifest(name=f"r{number}"), desk.decision("smoke"))
        quick = hook("quick", url="https://quick.example.com/")
        allowed = ("https://quick.example.com/",)
        desk.world = at_step(1, spec=spec_of(webhooks=[quick]), hook_prefixes=allowed)
        desk.hooking.want(desk.manifest(name="quick"), desk.decision("quick"))
        await asyncio.sleep(0.5)

        at_once = [one for one in desk.hooks.posted if one.url.startswith(PREFIX)]
        assert len(at_once) == AT_ONCE_COUNT_MAX
        assert desk.rung == [Key("bookinfo", "quick")]


@pytest.mark.parametrize(("prefixes", "posts"), [((), True), ((PREFIX,), False)])
async def test_an_address_that_is_not_allowed_is_never_asked(
    prefixes: tuple[str, ...], *, posts: bool
) -> None:
    async with asking(Desk(prefixes=prefixes, posts=posts)) as desk:
        desk.hooking.want(desk.manifest(), desk.decision("smoke"))
        await asyncio.sleep(1)

        assert desk.hooks.posted == []
        (result,) = desk.heard()
        assert (result.outcome, result.because) == ("Failed", "its address is not allowed")
        o = desk.hooking.seen(desk.manifest(), desk.world.observe())
        assert o.hook_prefixes == ()


async def test_what_a_server_says_is_one_line_of_bounded_length() -> None:
    async with asking(Desk()) as desk:
        told = f"no\n\n way  {'x' * 500}"
        desk.hooks.errors[PREFIX] = HookRefused(PREFIX, status_code=400, told=told)
        desk.hooking.want(desk.manifest(), desk.decision("smoke"))
        await asyncio.sleep(1)

        (result,) = desk.heard()
        assert "no way xxx" in result.because
        assert len(result.because) == BECAUSE_LENGTH_MAX
        assert result.point is HookPoint.BEFORE_STEP


async def test_a_new_term_asks_anew_and_believes_nothing_of_an_old_one() -> None:
    desk = Desk()
    async with asking(desk):
        desk.hooking.want(desk.manifest(), desk.decision("smoke"))
        await asyncio.sleep(1)
    desk.hooking.begin()
    assert desk.heard() == []
    async with asking(desk):
        desk.hooking.want(desk.manifest(), desk.decision("smoke"))
        await asyncio.sleep(1)

        first, second = desk.hooks.posted
        assert (first.key, first.document) == (second.key, second.document)


async def test_a_run_without_webhooks_is_not_remembered_at_all() -> None:
    async with asking(Desk()) as desk:
        desk.hooking.want(desk.manifest(), desk.decision("smoke"))
        await asyncio.sleep(1)
        desk.world = at_step(1)
        desk.hooking.want(desk.manifest(), desk.decision())

        assert desk.heard() == []
