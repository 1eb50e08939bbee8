"""Webhooks as settings wire them: a real server on loopback is asked, in real time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any

from aiohttp import web

from rollout import settings
from rollout.adapters.clock import SystemClock
from rollout.api.meta import Key, Manifest
from rollout.api.status import RolloutStatus
from rollout.controller.hooking import Hooking
from rollout.engine.decision import Decision, HookCall
from rollout.wiring import outlets
from tests.stories import gray
from tests.world.engine_world import World, at_step, spec_of

MANIFEST: Manifest = {"metadata": {"name": "reviews", "namespace": "bookinfo", "uid": "u-1"}}


@dataclass(kw_only=True)
class Receiver:
    """Answers what it is told to, one after the other; yes in the end."""

    statuses: list[int]
    base: str = ""
    keys: list[str] = field(default_factory=list)
    documents: list[Any] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.Response:
        self.keys.append(request.headers["Idempotency-Key"])
        self.documents.append(await request.json())
        status = self.statuses.pop(0) if self.statuses else 200
        if status == 0:
            await asyncio.sleep(30)
        return web.Response(status=status, headers={"Retry-After": "0"})


@contextlib.asynccontextmanager
async def receiving(*statuses: int) -> AsyncIterator[Receiver]:
    receiver = Receiver(statuses=list(statuses))
    app = web.Application()
    app.router.add_post("/rollout/smoke", receiver.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    receiver.base = f"http://{host}:{port}/rollout/"
    try:
        yield receiver
    finally:
        await runner.cleanup()


def decision(world: World) -> Decision:
    (hook,) = world.run.plan.webhooks
    call = HookCall(run=world.run.id, step=2, round=1, webhook=hook)
    return Decision(
        status=RolloutStatus(run=world.run),
        weights=None,
        finalizer=True,
        because="it waits",
        look_again_at=None,
        hooks=(call,),
    )


async def test_no_answers_are_asked_again_with_one_key_until_there_is_a_yes() -> None:
    async with receiving(503, 0) as receiver, contextlib.AsyncExitStack() as stack:
        hook = {
            "name": "smoke",
            "point": "BeforeStep",
            "url": f"{receiver.base}smoke",
            "timeout": "300ms",
            "steps": [2],
        }
        spec = spec_of(webhooks=[hook])
        world = at_step(1, spec=spec, hook_prefixes=(receiver.base,))
        chosen = replace(settings.read(environ={}), hooks=receiver.base)
        clock = SystemClock()
        found = await outlets.of(chosen, clock, stack)
        rung = asyncio.Event()
        hooking = Hooking(
            found.hooks,
            prefixes=found.hook_prefixes,
            clock=clock,
            ring=lambda key: rung.set() if key == Key("bookinfo", "reviews") else None,
        )
        async with gray.running(hooking.run):
            hooking.want(MANIFEST, decision(world))
            await asyncio.wait_for(rung.wait(), 20)

        (result,) = hooking.seen(MANIFEST, world.observe()).hooks
        assert (result.outcome, result.attempts) == ("Passed", 3)
        assert receiver.keys == ['"u-1/1/BeforeStep/2/smoke"'] * 3
        assert receiver.documents[0] == receiver.documents[2]
        assert receiver.documents[0]["canaryRevision"] == "v2"
