"""Posting: each message to its address, in order; one that is not taken keeps the rest waiting."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from rollout.api.meta import Key
from rollout.api.notify import News, Sink, Telling
from rollout.api.status import RolloutStatus
from rollout.base.errors import Unreachable
from rollout.controller.mailbox import Mailbox, Reach
from rollout.controller.posting import Poster
from rollout.controller.world import World
from tests.world.clock import FakeClock
from tests.world.hooks import FakeHooks

pytestmark = pytest.mark.looptime(noop_cycles=1)

KEY = Key("shop", "reviews")
PREFIX = "https://hooks.example.com/"
BOTH = (Sink.WEBHOOK, Sink.CLOUD_EVENTS)


class Office:
    """A poster, and the world it reads."""

    def __init__(
        self, sink: Sink = Sink.WEBHOOK, *, url: str = f"{PREFIX}x", allowed: str = PREFIX
    ) -> None:
        self.hooks = FakeHooks(clock=FakeClock())
        self.world = World(namespace="")
        self.mailbox = Mailbox(Reach(hooks=(allowed,)))
        self.rung: list[Key] = []
        self.sink, self.url = sink, url
        self.poster = Poster(sink, self.hooks, self.world, self.mailbox, ring=self.rung.append)

    def write(self, tellings: Sequence[Telling]) -> None:
        status = RolloutStatus(outbox=tuple(tellings))
        address = {"webhook": "webhook", "cloudEvents": "cloudEvents"}[self.sink]
        manifest: dict[str, Any] = {
            "metadata": {
                "name": "reviews",
                "namespace": "shop",
                "uid": "u-1",
                "resourceVersion": "1",
            },
            "spec": {"host": "reviews", "revision": "v2", "notify": {address: {"url": self.url}}},
            "status": status.model_dump(mode="json", by_alias=True, exclude_none=True),
        }
        self.world.rollouts.put(manifest)

    def numbers(self) -> list[str]:
        return [one.key for one in self.hooks.taken]


def telling(number: int, *, still: tuple[Sink, ...] = BOTH) -> Telling:
    at = datetime(2026, 11, 23, tzinfo=UTC)
    return Telling(id=number, news=News.STARTED, run="1", at=at, message="m", still=still)


@pytest.mark.parametrize("sink", BOTH)
async def test_all_is_posted_in_order_and_ticked_off(sink: Sink) -> None:
    office = Office(sink)
    office.write([telling(1), telling(2), telling(3)])

    assert await office.poster.deliver(KEY) is None

    assert office.numbers() == ["u-1/1", "u-1/2", "u-1/3"]
    assert office.mailbox.delivered(KEY) == {(1, sink), (2, sink), (3, sink)}
    assert office.rung == [KEY] * 3


async def test_what_was_told_or_is_for_others_is_not_told() -> None:
    office = Office()
    office.write([telling(1), telling(2, still=(Sink.SLACK,)), telling(3)])
    office.mailbox.tick(KEY, 1, Sink.WEBHOOK)
    office.mailbox.tick(KEY, 3, Sink.CLOUD_EVENTS)

    await office.poster.deliver(KEY)

    assert office.numbers() == ["u-1/3"]


async def test_one_that_is_not_taken_keeps_the_next_ones_waiting_so_that_order_stays() -> None:
    office = Office()
    office.write([telling(1), telling(2)])
    office.hooks.errors[PREFIX] = Unreachable(PREFIX, why="refused")
    with pytest.raises(Unreachable):
        await office.poster.deliver(KEY)
    assert len(office.hooks.posted) == 1
    assert office.mailbox.delivered(KEY) == frozenset()
    office.hooks.errors.clear()

    await office.poster.deliver(KEY)

    assert office.numbers() == ["u-1/1", "u-1/2"]


async def test_an_address_that_is_not_allowed_is_never_posted_to() -> None:
    office = Office(allowed="https://other.example.com/")
    office.write([telling(1)])

    assert await office.poster.deliver(KEY) is None

    assert office.hooks.posted == []


async def test_of_a_rollout_that_is_gone_nothing_is_told() -> None:
    office = Office()

    assert await office.poster.deliver(KEY) is None

    assert office.hooks.posted == []


async def test_the_content_type_says_which_kind_it_is() -> None:
    found = []
    for sink in BOTH:
        office = Office(sink)
        office.write([telling(1)])
        await office.poster.deliver(KEY)
        found.append((office.hooks.taken[0].content_type, "data" in office.hooks.taken[0].document))

    assert found == [("application/json", False), ("application/cloudevents+json", True)]
