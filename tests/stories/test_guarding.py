"""The guard of a run in the DestinationRule: on before traffic, off after it, whatever happens."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from rollout.api.action import Verb
from rollout.api.meta import DESTINATION_RULE, ROLLOUT, VIRTUAL_SERVICE, Kind, Manifest
from rollout.engine.ending import LET_GO_SECONDS
from rollout.engine.guards import PATIENCE_SECONDS
from tests.stories import gray
from tests.stories.gray import Story
from tests.world.clock import simulate

pytestmark = pytest.mark.looptime(noop_cycles=1)

EJECTS = {"consecutive5xxErrors": 3, "baseEjectionTime": "30s"}
POOL = {"http": {"http1MaxPendingRequests": 5}}
GUARD = {"outlierDetection": EJECTS, "connectionPool": POOL}


def guarded(**spec: Any) -> Manifest:
    return gray.rollout(guard=GUARD, **spec)


def rule(story: Story) -> Manifest:
    return story.cluster.peek(DESTINATION_RULE, gray.KEY)


def policy(story: Story, subset: str = "v2") -> dict[str, Any]:
    subsets = rule(story)["spec"]["subsets"]
    found: dict[str, Any] = next(
        one.get("trafficPolicy", {}) for one in subsets if one["name"] == subset
    )
    return found


def change(story: Story, subset: str, **fields: Any) -> None:
    """Somebody gives a subset other fields; None takes one away."""

    def edit(manifest: Manifest) -> None:
        found = next(one for one in manifest["spec"]["subsets"] if one["name"] == subset)
        found.update(fields)
        for name in [name for name, value in fields.items() if value is None]:
            del found[name]

    story.cluster.edit(DESTINATION_RULE, gray.KEY, edit)


def refuse_rules(story: Story) -> None:
    story.cluster.admit = lambda _verb, kind, _manifest: (
        "frozen" if kind == DESTINATION_RULE else None
    )


def in_order(story: Story, since: int) -> list[str]:
    kinds = {DESTINATION_RULE.plural: "guard", VIRTUAL_SERVICE.plural: "weights"}
    writes = list(story.cluster.writes)[since:]
    return [kinds[write.plural] for write in writes if write.plural in kinds]


async def slowly(story: Story, happened: Callable[[], bool]) -> None:
    """Let time pass until something is so that nobody waits for in front of a screen."""
    await story.until(happened, within_seconds=PATIENCE_SECONDS + 60, look_seconds=1)


async def at_step(story: Story, step: int) -> None:
    await story.stable()
    story.want("v2")
    await story.until_step(step, within_seconds=60)


async def test_it_stands_for_the_settle_time_before_a_weight_and_comes_off_when_promoted() -> None:
    async with gray.told(guarded()) as story:
        await story.stable()
        before, writes = rule(story)["spec"], len(story.cluster.writes)
        story.want("v2")
        await story.until(lambda: policy(story) == GUARD, within_seconds=10)
        written_at = story.clock.monotonic_seconds()
        await story.until_step(1, within_seconds=10)
        moved_at = story.clock.monotonic_seconds()
        await story.stable("v2", within_seconds=120)
        await asyncio.sleep(5)

        assert moved_at - written_at >= gray.SETTLE_SECONDS - gray.SETTLE_SECONDS / 10
        assert in_order(story, writes) == ["guard", "weights", "weights", "weights", "guard"]
        assert rule(story)["spec"] == before
        assert story.canary_weights() == [0, 5, 50, 100]


async def test_aborted_all_traffic_has_left_for_the_settle_time_before_it_comes_off() -> None:
    async with gray.told(guarded()) as story:
        await at_step(story, 2)
        before = len(story.cluster.writes)

        story.command(Verb.ABORT)
        await story.until(lambda: story.weight("v2") == 0, within_seconds=1)
        left_at = story.clock.monotonic_seconds()
        await asyncio.sleep(gray.SETTLE_SECONDS / 2)
        assert policy(story) == GUARD
        await story.until(lambda: not policy(story), within_seconds=5)

        assert story.clock.monotonic_seconds() - left_at >= gray.SETTLE_SECONDS * 0.9
        assert in_order(story, before) == ["weights", "guard"]
        await story.until_phase("RolledBack", within_seconds=1)


async def test_only_the_canarys_subset_is_touched_and_nothing_else_of_the_rule_peers_18() -> None:
    story = gray.furnished(guarded())

    def dress(manifest: Manifest) -> None:
        manifest["metadata"]["annotations"] = {"a": "b"}
        manifest["spec"]["trafficPolicy"] = {"tls": {"mode": "ISTIO_MUTUAL"}}
        manifest["spec"]["subsets"][1]["trafficPolicy"] = {"loadBalancer": {"simple": "RANDOM"}}
        manifest["spec"]["subsets"].append({"name": "v9", "labels": {}, "unknown": [1, None, "é"]})
        manifest["status"] = {"validationMessages": [{"level": "INFO"}]}

    story.cluster.edit(DESTINATION_RULE, gray.KEY, dress)
    before = rule(story)
    async with gray.running(gray.controller(story).run):
        await at_step(story, 1)
        on = rule(story)
        await story.stable("v2", within_seconds=120)
        await asyncio.sleep(1)
        off = rule(story)

    for manifest in (before, on, off):
        for field in ("resourceVersion", "generation"):
            del manifest["metadata"][field]
    wanted = {"loadBalancer": {"simple": "RANDOM"}, **GUARD}
    assert on["spec"]["subsets"][1].pop("trafficPolicy") == wanted
    del before["spec"]["subsets"][1]["trafficPolicy"]
    assert on == before
    assert off["spec"]["subsets"][1].pop("trafficPolicy") == {"loadBalancer": {"simple": "RANDOM"}}
    assert off == before


async def test_of_two_rules_the_older_that_really_defines_the_subset_is_written_peers_19() -> None:
    story = gray.furnished(guarded())
    younger = gray.destination_rule()
    younger["metadata"]["name"] = "a-younger"
    younger["spec"]["host"] = gray.KEY.name
    await asyncio.sleep(5)
    story.cluster.put(DESTINATION_RULE, younger)
    async with gray.running(gray.controller(story).run):
        await at_step(story, 1)

        rules = story.cluster.everything(DESTINATION_RULE)
        where = [
            (key.name, subset["name"])
            for key, found in rules.items()
            for subset in found["spec"]["subsets"]
            if "trafficPolicy" in subset
        ]
        assert where == [("reviews", "v2")]


async def test_a_policy_of_the_subset_itself_is_kept_even_an_equal_one() -> None:
    story = gray.furnished(guarded())
    change(story, "v2", trafficPolicy={"outlierDetection": EJECTS})
    async with gray.running(gray.controller(story).run):
        await at_step(story, 1)
        assert policy(story) == GUARD
        assert [note.reason for note in story.status().notes] == ["GuardNotNeeded"]
        await story.stable("v2", within_seconds=120)
        await asyncio.sleep(1)

        assert policy(story) == {"outlierDetection": EJECTS}
        assert len(story.events("GuardNotNeeded")) == 1


async def test_what_somebody_takes_off_in_mid_run_is_put_back_and_told_peers_18() -> None:
    async with gray.told(guarded()) as story:
        await at_step(story, 2)

        change(story, "v2", trafficPolicy=None)
        await asyncio.sleep(1)

        assert policy(story) == GUARD
        (told,) = story.events("PutBack")
        assert "outlierDetection and connectionPool of subset v2" in told
        assert story.run().step == 2


async def test_a_tool_that_takes_it_off_at_each_blow_is_answered_seldom_and_told_of_once() -> None:
    steps = [{"weight": 5, "hold": "10m"}]
    async with gray.told(guarded(strategy={"steps": steps})) as story:
        await at_step(story, 1)
        before = story.writes(DESTINATION_RULE)

        for _ in range(600):
            if policy(story):
                change(story, "v2", trafficPolicy=None)
            await asyncio.sleep(0.1)

        assert 6 <= story.writes(DESTINATION_RULE) - before <= 20
        assert len(story.events("PutBack")) <= 2
        assert story.run().step == 1
        story.command(Verb.ABORT)
        await story.until_phase("RolledBack", within_seconds=10)
        assert policy(story) == {}


async def test_a_rule_that_is_deleted_in_mid_run_holds_up_no_abort() -> None:
    async with gray.told(guarded()) as story:
        await at_step(story, 2)
        story.cluster.remove(DESTINATION_RULE, gray.KEY)
        await asyncio.sleep(1)

        story.command(Verb.ABORT)

        await story.until_phase("RolledBack", within_seconds=5)
        assert story.weight("v2") == 0


async def test_a_rule_that_comes_back_in_mid_run_without_the_guard_gets_it_first() -> None:
    async with gray.told(guarded()) as story:
        await at_step(story, 1)
        story.cluster.remove(DESTINATION_RULE, gray.KEY)
        await asyncio.sleep(2)
        before = len(story.cluster.writes)

        story.cluster.put(DESTINATION_RULE, gray.destination_rule())
        await story.until_step(2, within_seconds=60)

        assert policy(story) == GUARD
        assert in_order(story, before)[0] == "guard"


@pytest.mark.timeout(60)
async def test_a_refused_guard_moves_no_traffic_and_is_told() -> None:
    async with gray.told(guarded()) as story:
        await story.stable()
        refuse_rules(story)
        story.want("v2")
        await story.until_phase("Blocked", within_seconds=5)
        await asyncio.sleep(60)

        assert "DestinationRule shop/reviews: " in story.status().message
        assert "frozen" in story.status().message
        assert story.canary_weights() == [0.0]
        assert story.cluster.requests["patch", DESTINATION_RULE.plural] == 1
        story.cluster.admit = None
        await slowly(story, lambda: story.status().phase == "Stable")
        assert policy(story) == {}


@pytest.mark.timeout(60)
async def test_a_refused_removal_leaves_no_traffic_and_delays_the_end_for_a_while_only() -> None:
    async with gray.told(guarded()) as story:
        await at_step(story, 2)
        refuse_rules(story)
        story.command(Verb.ABORT)
        await asyncio.sleep(30)
        assert story.weight("v2") == 0
        assert story.status().phase == "RollingBack"
        assert "frozen" in story.status().message

        await slowly(story, lambda: story.status().phase == "RolledBack")
        await asyncio.sleep(1)  # Events follow the status

        (told,) = story.events("GuardLeft")
        assert "may still be on subset v2" in told
        assert story.cluster.requests["patch", DESTINATION_RULE.plural] <= 30


@pytest.mark.timeout(60)
async def test_a_server_that_is_silent_on_rules_alone_delays_a_deletion_for_a_while_only() -> None:
    async with gray.told(guarded()) as story:
        await at_step(story, 2)
        story.cluster.faults.refuse(verb="patch", kind=DESTINATION_RULE, times=10_000)
        story.cluster.remove(ROLLOUT, gray.KEY)
        await story.until(lambda: story.weight("v2") == 0, within_seconds=2)
        await asyncio.sleep(LET_GO_SECONDS / 2)
        assert story.cluster.everything(ROLLOUT)

        await slowly(story, lambda: not story.cluster.everything(ROLLOUT))

        assert "still has the guard of the run" in story.events("Deleted")[-1]


@pytest.mark.timeout(60)
async def test_a_refused_removal_delays_a_promotion_for_a_while_only_and_is_told() -> None:
    async with gray.told(guarded()) as story:
        await at_step(story, 3)
        refuse_rules(story)
        await asyncio.sleep(60)
        assert story.weight("v2") == 100
        assert story.status().stable_revision == "v1"
        assert story.status().reason == "GuardStays"
        assert "frozen" in story.status().message

        await slowly(story, lambda: story.status().phase == "Stable")
        await asyncio.sleep(1)  # Events follow the status

        assert story.status().stable_revision == "v2"
        (told,) = story.events("GuardLeft")
        assert "may still be on subset v2" in told
        assert story.cluster.requests["patch", DESTINATION_RULE.plural] <= 30


async def test_a_removal_that_was_refused_for_a_moment_ends_in_an_ordinary_promotion() -> None:
    async with gray.told(guarded()) as story:
        await at_step(story, 3)
        refuse_rules(story)
        await asyncio.sleep(60)
        story.cluster.admit = None

        await slowly(story, lambda: story.status().phase == "Stable")

        assert story.status().stable_revision == "v2"
        assert policy(story) == {}
        assert story.events("GuardLeft") == []


async def test_a_server_that_is_silent_on_rules_keeps_no_weight_from_being_put_back() -> None:
    async with gray.told(guarded(strategy={"steps": [{"weight": 5, "hold": "10m"}]})) as story:
        await at_step(story, 1)
        story.cluster.faults.refuse(verb="patch", kind=DESTINATION_RULE, times=10_000)

        change(story, "v2", trafficPolicy=None)
        story.set_weights(v1=0, v2=100)
        await asyncio.sleep(2)
        said = story.command(Verb.PAUSE)
        await asyncio.sleep(2)

        assert story.weight("v2") == 5
        assert story.answer(said)["outcome"] == "Applied"
        assert "DestinationRule shop/reviews: " in story.status().message
        story.cluster.faults.heal()
        await asyncio.sleep(15)
        assert policy(story) == GUARD


async def test_a_tool_that_takes_it_off_before_any_traffic_is_named_and_costs_little() -> None:
    async with gray.told(guarded()) as story:
        await story.stable()
        story.want("v2")
        statuses, rules = (
            story.writes(ROLLOUT, subresource="status"),
            story.writes(DESTINATION_RULE),
        )

        for _ in range(3000):
            if policy(story):
                change(story, "v2", trafficPolicy=None)
            await asyncio.sleep(0.1)

        assert story.canary_weights() == [0]
        assert story.writes(ROLLOUT, subresource="status") - statuses <= 100
        assert story.writes(DESTINATION_RULE) - rules <= 40
        assert story.status().reason == "Unguarded"
        assert 1 <= len(story.events("PutBack")) <= 6
        await story.stable("v2", within_seconds=180)
        assert story.canary_weights() == [0, 5, 50, 100]


async def a_promotion(story: Story) -> None:
    await story.stable()
    story.want("v2")
    await story.stable("v2", within_seconds=180)


async def an_abort(story: Story) -> None:
    await at_step(story, 2)
    story.command(Verb.ABORT)
    await story.until_phase("RolledBack", within_seconds=60)


async def an_abort_before_traffic(story: Story) -> None:
    await story.stable()
    story.set_ready("v2", ready=False)
    story.want("v2")
    await story.until(lambda: bool(policy(story)), within_seconds=10)
    story.command(Verb.ABORT)
    await story.until_phase("RolledBack", within_seconds=60)


async def a_deletion(story: Story) -> None:
    await at_step(story, 2)
    story.cluster.remove(ROLLOUT, gray.KEY)
    gone: Callable[[], bool] = lambda: not story.cluster.everything(ROLLOUT)  # noqa: E731
    await story.until(gone, within_seconds=60)


async def a_new_revision(story: Story) -> None:
    await at_step(story, 2)
    story.want("v3")
    await story.stable("v3", within_seconds=180)


STORIES: dict[str, Callable[[Story], Awaitable[None]]] = {
    "promotion": a_promotion,
    "abort": an_abort,
    "abort before traffic": an_abort_before_traffic,
    "deletion": a_deletion,
    "new revision": a_new_revision,
}

KILLED_AT = {
    "promotion": range(24),
    "abort": range(12, 22),
    "abort before traffic": range(3, 12),
    "deletion": range(12, 20),
    "new revision": range(12, 26),
}
"""The writes at which stories differ from the first one, which is killed everywhere."""


async def lived(name: str, *, after_writes: int | None, effective: bool) -> dict[str, object]:
    """How a story ends, if its controller is killed once, and a second one follows at once."""
    story = gray.furnished(guarded())
    untouched = rule(story)["spec"]
    unguarded: list[float] = []

    def heard(kind: Kind, manifest: Manifest) -> None:
        story.heard(kind, manifest)
        canary = {v: story.weight(v) for v in ("v2", "v3")} if kind == VIRTUAL_SERVICE else {}
        unguarded.extend(w for v, w in canary.items() if w and policy(story, v) != GUARD)

    story.cluster.heard = heard

    async def lives() -> None:
        if after_writes is not None:
            await gray.one_life(story, writes_count=after_writes, effective=effective)
        await gray.controller(story).run()

    async with gray.running(lives):
        await STORIES[name](story)
        await asyncio.sleep(10)
    assert rule(story)["spec"] == untouched, f"killed at write {after_writes}, {effective=}"
    assert unguarded == [], "no weight was written for a canary without its guard"
    assert story.events("GuardLeft") == []
    assert story.events("PutBack") == []
    return {
        "went": story.canary_weights(),
        "weights": [story.weight(v) for v in gray.VERSIONS],
        "writes": len(story.cluster.writes) if after_writes is None else None,
        "history": [
            (h.id, h.outcome, h.revision, h.steps)
            for h in (story.status().history if story.cluster.everything(ROLLOUT) else ())
        ],
    }


@pytest.mark.timeout(90)
@pytest.mark.parametrize("name", STORIES)
def test_a_kill_at_any_write_leaves_no_guard_behind_and_no_weight_without_one(name: str) -> None:
    expected = simulate(lived(name, after_writes=None, effective=False))
    writes = expected.pop("writes")

    assert isinstance(writes, int)
    assert KILLED_AT[name].stop <= writes
    # Every other kill comes after the write; tests/stories/test_restarts has all of both kinds.
    for k, effective in zip(KILLED_AT[name], itertools.cycle((False, True)), strict=False):
        found = simulate(lived(name, after_writes=k, effective=effective))
        assert found.pop("writes") is None
        assert found == expected, f"killed at write {k}, {effective=}"


async def test_a_run_with_a_guard_costs_two_writes_more() -> None:
    spent = []
    for manifest in (gray.rollout(), guarded()):
        async with gray.told(manifest) as story:
            await a_promotion(story)
            await asyncio.sleep(5)
            spent.append(story.cluster.requests.copy())

    more = spent[1] - spent[0]
    assert {key: count for key, count in more.items() if key[0] not in {"list", "watch"}} == {
        ("patch", DESTINATION_RULE.plural): 2,
        ("get", ROLLOUT.plural): 2,
    }
    assert ("patch", DESTINATION_RULE.plural) not in spent[0]
