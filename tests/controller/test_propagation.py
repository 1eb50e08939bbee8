"""When istiod is asked, what its answers mean for a run, and who is rung; stories tell the rest."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest

from rollout.api.meta import Key
from rollout.api.traffic import Propagation, Spread
from rollout.controller.propagation import (
    BEFORE_SECONDS_MAX,
    OLD_SECONDS,
    UNREACHABLE_SECONDS,
    Propagations,
)
from rollout.controller.record import Record
from rollout.controller.waiting import UNCHANGED_SECONDS
from rollout.engine.observation import Observation
from rollout.ports import Mesh, Nonces, Proxy, XdsType
from tests.stories import gray
from tests.world.clock import FakeClock
from tests.world.engine_world import World, spec_of
from tests.world.mesh import FakeMesh

pytestmark = pytest.mark.looptime(noop_cycles=1)

CLIENT = "client-1.shop"
SETTLE_SECONDS = 1.0
LABELS: Mapping[str, Mapping[str, str]] = {"v1": {"version": "v1"}, "v2": {"version": "v2"}}


def observed(percent: float, **run: Any) -> Observation:
    """A run at so many percent; at 0 it prepares."""
    steps = [{"weight": percent or 10, "hold": "10m"}]
    world = World(spec=spec_of(strategy={"steps": steps}, gates=[]))
    world.settle()
    if percent:
        world.until_step(1)
    o = world.observe()
    assert o.status.run is not None
    status = o.status.model_copy(update={"run": o.status.run.model_copy(update=run)})
    return replace(o, status=status)


@dataclass(kw_only=True)
class Desk:
    """Propagations over an istiod in memory, and what they have rung."""

    mesh: FakeMesh
    record: Record = field(default_factory=Record)
    rung: list[Key] = field(default_factory=list)
    watched: Propagations

    def seen(self, o: Observation) -> Propagation:
        return self.watched.seen(o)

    def count(self, name: str) -> float:
        value = self.record.registry.get_sample_value(name)
        return value or 0.0


@asynccontextmanager
async def desk(mesh: Mesh | None = None, **fields: Any) -> AsyncIterator[Desk]:
    clock = FakeClock()
    fake = FakeMesh(clock=clock, **fields)
    record, rung = Record(), list[Key]()
    watched = Propagations(mesh or fake, clock, rung.append, record, settle_seconds=SETTLE_SECONDS)
    async with gray.running(watched.run):
        await asyncio.sleep(0)
        yield Desk(mesh=fake, record=record, rung=rung, watched=watched)


async def wrote(at: Desk, o: Observation, *, types: tuple[XdsType, ...] = (XdsType.RDS,)) -> None:
    """Write the weight of a run; istiod sends it a little later."""
    assert o.status.run is not None
    await at.watched.before_write(o, o.status.run.weight)
    at.watched.wrote(o, o.status.run)
    await asyncio.sleep(0.1)
    at.mesh.push(*types)


async def test_without_istiod_all_is_unasked_and_nothing_is_kept() -> None:
    watched = Propagations(
        None, FakeClock(), lambda _: None, Record(), settle_seconds=SETTLE_SECONDS
    )
    o = observed(10)

    await watched.before_write(o, 10)
    watched.wrote(o, o.status.run)
    assert o.status.run is not None
    watched.want(o.key, o.status.run)

    assert watched.seen(o) == Propagation()


async def test_a_write_is_pending_until_every_proxy_took_it_and_nothing_moves_any_more() -> None:
    o = observed(10)
    async with desk() as at:
        await wrote(at, o)
        await asyncio.sleep(0.15)
        early = at.seen(o)
        await asyncio.sleep(0.3)
        late = at.seen(o)

        assert (early.spread, early.percent) == (Spread.PENDING, 10)
        assert (late.spread, late.percent) == (Spread.DONE, 10)
        assert late.message == "acknowledged by all 2 proxies of this istiod"
        assert at.rung == [o.key]
        assert at.count("rollout_propagation_seconds_count") == 1
        assert at.count("rollout_propagation_seconds_sum") < 0.5


async def test_a_push_that_began_just_before_the_write_is_not_taken_for_it() -> None:
    o = observed(10)
    async with desk() as at:
        await at.watched.before_write(o, 10)
        at.watched.wrote(o, o.status.run)
        at.mesh.push(XdsType.RDS)
        at.mesh.frozen.add(CLIENT)
        await asyncio.sleep(0.1)
        at.mesh.push(XdsType.RDS)
        await asyncio.sleep(2)

        assert at.seen(o).spread is Spread.PENDING


async def test_types_that_have_nothing_to_do_with_the_write_hold_nobody_and_prove_nothing() -> None:
    o = observed(10)
    async with desk(rejecting={(CLIENT, XdsType.LDS): "cannot bind"}) as at:
        await wrote(at, o, types=(XdsType.LDS,))
        await asyncio.sleep(3)
        assert at.seen(o).spread is Spread.PENDING

        at.mesh.push(XdsType.RDS)
        await asyncio.sleep(1)
        assert at.seen(o).spread is Spread.DONE


async def test_routes_of_tcp_come_with_listeners() -> None:
    o = observed(10)
    route = replace(o.routing.routes[0], protocol="tcp")
    o = replace(o, routing=replace(o.routing, routes=(route,)))
    async with desk() as at:
        await wrote(at, o, types=(XdsType.LDS,))
        await asyncio.sleep(1)

        assert at.seen(o).spread is Spread.DONE


async def test_in_a_mesh_that_never_rests_each_proxy_is_believed_once_it_took_something_later() -> (
    None
):
    o = observed(10)
    async with desk(names=[f"p{i}.shop" for i in range(50)], restless=(XdsType.RDS,)) as at:
        await wrote(at, o)
        await asyncio.sleep(SETTLE_SECONDS - 0.2)
        assert at.seen(o).spread is Spread.PENDING

        await asyncio.sleep(1)
        assert at.seen(o).spread is Spread.DONE


async def test_one_that_is_sent_nothing_while_others_never_rest_has_it_after_a_while() -> None:
    o = observed(10)
    async with desk() as at:
        await wrote(at, o)
        for second in range(11):
            assert (second, at.seen(o).spread) == (second, Spread.PENDING)
            for _ in range(10):
                at.mesh.push(XdsType.RDS, to=[CLIENT])
                await asyncio.sleep(0.1)
        await asyncio.sleep(0.2)

        assert at.seen(o).spread is Spread.DONE


async def test_one_that_took_the_write_and_rejects_something_later_is_not_in_the_way() -> None:
    o = observed(10)
    frozen = "gateway-1.istio-system"
    async with desk(frozen={frozen}, restless=(XdsType.RDS,)) as at:
        await wrote(at, o)
        await asyncio.sleep(2)
        at.mesh.rejecting[CLIENT, XdsType.RDS] = "no"
        await asyncio.sleep(4)

        assert at.seen(o).message == f"{frozen} has not acknowledged RDS for more than 3 s"


async def test_endpoints_that_are_under_way_all_the_time_hold_nobody() -> None:
    o = observed(0)
    async with desk() as at:
        at.seen(o)
        await asyncio.sleep(OLD_SECONDS)
        at.mesh.push(XdsType.EDS)
        assert o.status.run is not None
        at.seen(o)
        at.watched.want(o.key, o.status.run)
        await asyncio.sleep(0.5)

        assert at.seen(o).spread is Spread.DONE


async def test_what_changes_nothing_at_any_proxy_is_unknown_after_a_while() -> None:
    o = observed(10)
    async with desk() as at:
        await at.watched.before_write(o, 10)
        at.watched.wrote(o, o.status.run)
        await asyncio.sleep(UNCHANGED_SECONDS - 1)
        assert at.seen(o).spread is Spread.PENDING
        await asyncio.sleep(3)

        assert at.seen(o).spread is Spread.UNKNOWN
        assert (
            at.seen(o).message == "istiod has sent all 2 proxies of this istiod nothing new for it"
        )
        count = len(at.mesh.looks_at)
        await asyncio.sleep(60)
        assert len(at.mesh.looks_at) == count


async def test_one_proxy_is_called_one_proxy() -> None:
    o = observed(10)
    async with desk(names=(CLIENT,)) as at:
        await wrote(at, o)
        await asyncio.sleep(1)

        assert at.seen(o).message == "acknowledged by the only proxy of this istiod"


async def test_an_istiod_that_fails_for_a_moment_is_asked_again_and_one_that_is_gone_is_not() -> (
    None
):
    o = observed(10)
    async with desk() as at:
        await wrote(at, o)
        at.mesh.problem = "reset"
        await asyncio.sleep(UNREACHABLE_SECONDS / 2)
        at.mesh.problem = ""
        await asyncio.sleep(1)
        assert at.seen(o).spread is Spread.DONE

        at.mesh.problem = "refused"
        await wrote(at, o)
        await asyncio.sleep(2 * UNREACHABLE_SECONDS)
        assert at.seen(o).spread is Spread.UNKNOWN
        assert at.seen(o).message == "istiod cannot be reached: refused"
        count = len(at.mesh.looks_at)
        await asyncio.sleep(60)
        assert len(at.mesh.looks_at) == count


class Slow:
    """An istiod that takes its time; counts who asks at once."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.at_once = 0

    async def proxies(self) -> tuple[Proxy, ...]:
        self.at_once += 1
        assert self.at_once == 1
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.at_once -= 1
        return ()

    async def close(self) -> None:
        """Nothing is held."""


@dataclass
class Mad:
    """An istiod whose answers nobody foresaw, while it is mad."""

    mesh: FakeMesh
    says: Callable[[], Sequence[Proxy]]
    is_mad: bool = False

    async def proxies(self) -> Sequence[Proxy]:
        return self.says() if self.is_mad else await self.mesh.proxies()

    async def close(self) -> None:
        """Nothing is held."""


def raises() -> Sequence[Proxy]:
    return (Proxy(name="a" * int("many"), nonces={}),)


def says_nothing() -> Sequence[Proxy]:
    return cast("Sequence[Proxy]", None)


def says_numbers() -> Sequence[Proxy]:
    nonces = Nonces(sent="2", acked="1", error=cast("str", 5))
    return (Proxy(name=CLIENT, nonces={XdsType.RDS: nonces}),)


@pytest.mark.parametrize("says", [raises, says_nothing, says_numbers])
async def test_what_nobody_foresaw_is_told_and_the_next_wait_is_as_if_it_had_never_been(
    says: Callable[[], Sequence[Proxy]],
) -> None:
    o = observed(10)
    mesh = FakeMesh(clock=FakeClock())
    mad = Mad(mesh, says)
    async with desk(mad) as at:
        await wrote(at, o)
        mad.is_mad = True
        await asyncio.sleep(2 * UNREACHABLE_SECONDS)
        assert at.seen(o).spread is Spread.UNKNOWN
        assert at.seen(o).message.startswith("what istiod tells could not be used: ")
        await at.watched.before_write(o, 20)

        mad.is_mad = False
        await wrote(at, o)
        mesh.push(XdsType.RDS)
        await asyncio.sleep(3)
        assert at.seen(o).spread is Spread.DONE


async def test_a_write_waits_for_a_slow_istiod_but_not_for_long() -> None:
    o = observed(10)
    async with desk(Slow(60)) as at:
        before = asyncio.get_running_loop().time()

        await at.watched.before_write(o, 20)

        waited = asyncio.get_running_loop().time() - before
        assert waited == pytest.approx(BEFORE_SECONDS_MAX)


@pytest.mark.parametrize("mesh", [Slow(60), None], ids=["slow", "gone"])
async def test_after_one_that_waited_in_vain_the_next_writes_do_not(mesh: Mesh | None) -> None:
    o = observed(10)
    async with desk(mesh, problem="refused") as at:
        await at.watched.before_write(o, 20)
        before = asyncio.get_running_loop().time()

        for _ in range(10):
            await at.watched.before_write(o, 20)

        assert asyncio.get_running_loop().time() == before


@pytest.mark.parametrize("percent", [0, 5])
async def test_a_write_that_takes_traffic_away_waits_for_nothing(percent: float) -> None:
    o = observed(10)
    async with desk() as at:
        before = asyncio.get_running_loop().time()

        await at.watched.before_write(o, percent)
        assert asyncio.get_running_loop().time() == before

        await asyncio.sleep(0.01)
        assert len(at.mesh.looks_at) == 1


async def test_looks_that_are_expensive_are_far_apart() -> None:
    o = observed(10)
    async with desk(Slow(1.0)) as at:
        at.watched.wrote(o, o.status.run)
        await asyncio.sleep(9)

        looks = at.record.registry.get_sample_value("rollout_istiod_looks_total", {"outcome": "ok"})
        assert looks is not None
        assert looks <= 3


async def test_what_this_controller_did_not_write_is_unknown_to_it() -> None:
    async with desk() as at:
        found = at.seen(observed(10))

        assert (found.spread, found.percent) == (Spread.UNKNOWN, 10)
        assert found.message == "this controller has not seen the weights being written"


async def test_another_leader_before_us_makes_us_forget_what_we_waited_for() -> None:
    o, clock = observed(10), FakeClock()
    mesh = FakeMesh(clock=clock)
    watched = Propagations(mesh, clock, lambda _: None, Record(), settle_seconds=SETTLE_SECONDS)
    async with gray.running(watched.run):
        await asyncio.sleep(0)
        await watched.before_write(o, 10)
        watched.wrote(o, o.status.run)
        await asyncio.sleep(0.1)
        assert watched.seen(o).spread is Spread.PENDING

    async with gray.running(watched.run):
        await asyncio.sleep(0.1)
        assert watched.seen(o).spread is Spread.UNKNOWN


async def test_a_subset_that_has_served_for_long_needs_one_look() -> None:
    o = observed(0)
    async with desk() as at:
        at.seen(o)
        await asyncio.sleep(OLD_SECONDS)
        assert o.status.run is not None
        assert at.seen(o).spread is Spread.PENDING
        at.watched.want(o.key, o.status.run)
        await asyncio.sleep(0.01)

        assert at.seen(o).spread is Spread.DONE
        assert len(at.mesh.looks_at) == 1


async def test_one_that_was_changed_just_now_needs_a_push() -> None:
    o = observed(0)
    async with desk() as at:
        at.seen(o)
        await asyncio.sleep(OLD_SECONDS)
        changed = {**o.subsets.subsets, "v2": {"version": "v2", "track": "new"}}
        o = replace(o, subsets=replace(o.subsets, subsets=changed))
        at.seen(o)
        assert o.status.run is not None
        at.watched.want(o.key, o.status.run)
        await asyncio.sleep(0.1)
        assert at.seen(o).spread is Spread.PENDING

        at.mesh.push(XdsType.CDS, XdsType.EDS)
        await asyncio.sleep(SETTLE_SECONDS + 0.2)
        assert at.seen(o).spread is Spread.DONE


async def test_a_subset_for_which_no_proxy_is_sent_anything_is_left_to_the_settle_time() -> None:
    o = observed(0)
    async with desk() as at:
        at.seen(o)
        assert o.status.run is not None
        at.watched.want(o.key, o.status.run)
        await asyncio.sleep(1.3)

        assert at.seen(o).spread is Spread.UNKNOWN


async def test_a_subset_that_nobody_answers_for_is_not_waited_for() -> None:
    o = replace(observed(0), ready={"v1": 1, "v2": 0})
    async with desk() as at:
        assert at.seen(o).spread is Spread.PENDING
        assert o.status.run is not None
        at.watched.want(o.key, o.status.run)
        await asyncio.sleep(5)

        assert at.mesh.looks_at == []


async def refused_of_old(words: str) -> Propagation:
    """Of a subset that has served for long, given what a proxy says to a push of back then."""
    o = observed(0)
    async with desk(rejecting={(CLIENT, XdsType.CDS): words}) as at:
        at.seen(o)
        at.mesh.push(XdsType.CDS)
        await asyncio.sleep(OLD_SECONDS)
        assert o.status.run is not None
        at.seen(o)
        at.watched.want(o.key, o.status.run)
        await asyncio.sleep(0.3)
        return at.seen(o)


async def test_a_proxy_that_has_refused_the_subset_is_named() -> None:
    words = "Error adding/updating cluster(s) outbound|80|v2|reviews.bookinfo.svc.cluster.local: no"

    found = await refused_of_old(words)

    assert (found.spread, found.refused, found.hindered) == (Spread.PENDING, True, True)
    assert found.message == f"{CLIENT} has rejected CDS: {words}"


async def test_one_that_has_refused_something_else_holds_nobody_and_is_named_all_the_same() -> None:
    found = await refused_of_old("Error adding/updating cluster(s) batch: unknown filter")

    assert (found.spread, found.hindered) == (Spread.DONE, False)
    assert found.message == (
        "acknowledged by all 2 proxies of this istiod; beside it "
        f"{CLIENT} has rejected CDS: Error adding/updating cluster(s) batch: unknown filter"
    )


async def test_after_the_run_nothing_is_waited_for_and_after_the_rollout_nothing_is_known() -> None:
    o = observed(10)
    async with desk() as at:
        await wrote(at, o)
        at.watched.forget_run(o.key)
        assert at.seen(o).spread is Spread.UNKNOWN
        at.watched.forget(o.key)
        assert o.key not in at.watched._ages

        run = o.status.run
        assert run is not None
        over = run.model_copy(update={"ended_at": o.now})
        assert at.seen(replace(o, status=o.status.model_copy(update={"run": over}))) == (
            Propagation()
        )
        at.watched.wrote(o, over)
        assert o.key not in at.watched._waits
