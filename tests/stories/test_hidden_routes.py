"""What hides, shadows or undoes our routes is told before traffic moves, until it is mended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from rollout.api.meta import (
    DESTINATION_RULE,
    ENVOY_FILTER,
    SERVICE,
    SERVICE_ENTRY,
    SIDECAR,
    VIRTUAL_SERVICE,
    Key,
    Manifest,
)
from rollout.routes import fronts
from tests.stories import gray
from tests.stories.gray import Story

pytestmark = pytest.mark.looptime(noop_cycles=1)

HOST = "reviews.shop.svc.cluster.local"
WEB = "web"


def item(name: str, *, namespace: str = gray.NAMESPACE, **spec: Any) -> Manifest:
    return {"metadata": {"name": name, "namespace": namespace}, "spec": spec}


def pointing(subset: str) -> list[Manifest]:
    return [{"route": [{"destination": {"host": HOST, "subset": subset}}]}]


def overrule(story: Story) -> None:
    """Have an older VirtualService for the host: by far, ours is made anew."""
    rival = item("rival", namespace=WEB, hosts=[HOST], http=pointing("v3"))
    story.cluster.remove(VIRTUAL_SERVICE, gray.KEY)
    story.cluster.put(VIRTUAL_SERVICE, rival)
    story.clock.jump(5)
    story.cluster.put(VIRTUAL_SERVICE, gray.virtual_service(v1=100))


def delete_rival(story: Story) -> None:
    story.cluster.remove(VIRTUAL_SERVICE, Key(WEB, "rival"))


def shadow(story: Story) -> None:
    subsets = [{"name": "v1", "labels": {"version": "v1"}}]
    story.cluster.put(DESTINATION_RULE, item("mine", namespace=WEB, host=HOST, subsets=subsets))


def complete(story: Story) -> None:
    subsets = [{"name": name, "labels": {"version": name}} for name in gray.VERSIONS]
    story.cluster.edit(
        DESTINATION_RULE, Key(WEB, "mine"), lambda m: m["spec"].update(subsets=subsets)
    )


def delegate(story: Story) -> None:
    """The route of a person's header goes to a VirtualService that nobody has made."""
    route = {"match": [{"headers": {"a": {"exact": "b"}}}], "delegate": {"name": "beta"}}
    story.cluster.edit(VIRTUAL_SERVICE, gray.KEY, lambda m: m["spec"]["http"].append(route))


def make_delegate(story: Story) -> None:
    story.cluster.put(VIRTUAL_SERVICE, item("beta", http=[{"redirect": {"uri": "/beta"}}]))


def name_port(name: str) -> Callable[[Story], None]:
    def put(story: Story) -> None:
        story.cluster.put(SERVICE, item("reviews", ports=[{"name": name, "port": 9080}]))

    return put


@pytest.mark.parametrize(
    ("spoil", "reason", "mend"),
    [
        (overrule, "VirtualServiceOverruled", delete_rival),
        (shadow, "CallersWithoutSubset", complete),
        (delegate, "DelegateMissing", make_delegate),
        (name_port("tcp"), "PortProtocol", name_port("http")),
    ],
    ids=["peers 163", "peers 164", "peers 178", "peers 180"],
)
async def test_a_run_waits_for_what_undoes_it_and_starts_when_that_is_mended(
    spoil: Callable[[Story], None], reason: str, mend: Callable[[Story], None]
) -> None:
    async with gray.told() as story:
        await story.stable()
        spoil(story)
        story.want("v2")
        await story.until_phase("Blocked", within_seconds=3)
        await asyncio.sleep(60)
        told, moved = story.status(), story.canary_weights()

        mend(story)
        await story.until_step(1, within_seconds=3)
        await story.stable("v2", within_seconds=120)

        assert told.reason == reason
        assert moved == [0]


async def test_at_rest_it_is_told_what_will_be_in_the_way_of_another_run() -> None:
    async with gray.told() as story:
        await story.stable()
        name_port("tcp")(story)
        await story.until(lambda: "before another run" in story.status().message, within_seconds=3)
        phase = story.status().phase

        name_port("http")(story)
        await story.until(lambda: "another run" not in story.status().message, within_seconds=3)

        assert phase == "Stable"


async def test_a_rule_for_a_whole_domain_wakes_and_is_told_peers_164() -> None:
    async with gray.told(gray.rollout(strategy={"steps": [{"weight": 5}, {"pause": {}}]})) as story:
        await story.stable()
        story.want("v2")
        await story.until_step(2, within_seconds=30)

        story.cluster.put(DESTINATION_RULE, item("all", namespace=WEB, host="*.local"))
        await story.until(lambda: bool(story.status().notes), within_seconds=3)

        (note,) = story.status().notes
        assert note.reason == "CallersWithoutSubset"
        assert "DestinationRule web/all" in note.message
        assert story.events(note.reason) == [note.message]
        assert story.status().phase == "Waiting"


def hide(story: Story) -> None:
    story.cluster.put(SIDECAR, item("some", egress=[{"hosts": ["istio-system/*"]}]))


def keep_near(story: Story) -> None:
    story.cluster.edit(VIRTUAL_SERVICE, gray.KEY, lambda m: m["spec"].update(exportTo=["."]))
    story.cluster.put(SERVICE, item("reviews", ports=[{"name": "http", "port": 9080}]))


def let_in(story: Story) -> None:
    outside: dict[str, Any] = {
        "hosts": ["r.example.com"],
        "gateways": ["edge"],
        "http": pointing("v1"),
    }
    story.cluster.put(VIRTUAL_SERVICE, item("outside", **outside))


def guess(story: Story) -> None:
    entry = item("entry", namespace="mesh", hosts=[HOST], ports=[{"number": 9080}])
    story.cluster.put(SERVICE_ENTRY, entry)


def filter_route(story: Story, *, namespace: str = gray.NAMESPACE) -> None:
    route = {"routeConfiguration": {"vhost": {"route": {"name": "primary"}}}}
    limit = item("limit", namespace=namespace, configPatches=[{"match": route}])
    story.cluster.put(ENVOY_FILTER, limit)
    match = {"match": {"headers": {"a": {"exact": "b"}}}, "hold": "5s"}
    story.edit(strategy={"steps": [match, {"weight": 5, "hold": "5s"}], "bake": "5s"}, gates=[])


@pytest.mark.parametrize(
    ("do", "reason"),
    [
        (hide, "CallersNotGoverned"),
        (keep_near, "CallersNotGoverned"),
        (let_in, "IngressNotGoverned"),
        (guess, "PortProtocolGuessed"),
        (filter_route, "EnvoyFilterMissesRoute"),
    ],
    ids=["peers 176", "peers 176 exportTo", "peers 167", "peers 180", "peers 168"],
)
async def test_what_may_be_meant_so_is_noted_and_the_run_goes_on(
    do: Callable[[Story], None], reason: str
) -> None:
    async with gray.told() as story:
        await story.stable()
        do(story)
        story.want("v2")
        await story.until_step(1, within_seconds=5)
        notes = story.status().notes
        await story.stable("v2", within_seconds=120)

        assert [note.reason for note in notes] == [reason]
        assert story.events(reason) == [note.message for note in notes]


async def test_a_filter_of_strangers_that_names_a_route_as_everybody_does_is_not_told() -> None:
    async with gray.told() as story:
        await story.stable()
        filter_route(story, namespace="elsewhere")
        story.want("v2")
        await story.until_step(1, within_seconds=5)

        assert story.status().notes == ()


async def test_without_istios_lesser_kinds_all_goes_on() -> None:
    story = gray.furnished()
    for kind in (SIDECAR, ENVOY_FILTER, SERVICE_ENTRY):
        story.cluster.uninstall(kind)
    async with gray.running(gray.controller(story).run):
        await story.stable()
        story.want("v2")
        await story.stable("v2", within_seconds=120)


class Readings:
    """Counts how often VirtualServices are read for what is around a Rollout."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        read = fronts.read

        def counted(manifest: Manifest) -> fronts.Front:
            self.count += 1
            return read(manifest)

        monkeypatch.setattr(fronts, "read", counted)


async def test_what_is_around_is_read_again_only_when_it_has_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    readings = Readings(monkeypatch)
    async with gray.told() as story:
        let_in(story)
        await story.stable()
        story.want("v2")
        await story.until_step(1, within_seconds=5)
        await asyncio.sleep(1)
        before, writes = readings.count, story.writes(VIRTUAL_SERVICE)

        await story.stable("v2", within_seconds=120)

        written = story.writes(VIRTUAL_SERVICE) - writes
        assert 0 < readings.count - before <= written
