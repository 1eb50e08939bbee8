"""Whose turn it is where only so many runs may be in progress, and how a Rollout waits for it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.api.action import ActionOutcome, Verb
from rollout.api.evidence import Verdict
from rollout.api.meta import Key
from rollout.api.phase import Phase
from rollout.engine import turns
from rollout.engine.starting import LINE_SECONDS
from rollout.engine.turns import Limit, Turn
from tests.world.engine_world import MORNING, World, always, at_step

A, B, C, D = (Key("shop", name) for name in "abcd")
BANK = Key("bank", "x")
TWO = Limit(runs_max=2, by="ClusterRolloutPolicy calm")
ONE_OF_TWO = "1 run is in progress in the cluster (at most 2 by ClusterRolloutPolicy calm)"
ONE_IN_SHOP = Limit(runs_max=1, by="RolloutPolicy one", namespace="shop")


def turn(
    key: Key, line: Sequence[Key], running: Sequence[Key], *limits: Limit
) -> tuple[bool, str] | None:
    found = turns.turn(key, line=line, running=running, limits=limits)
    return (found.is_next, found.told) if found is not None else None


def test_without_a_limit_there_is_no_line() -> None:
    assert turn(A, [], [B, C]) is None
    assert turn(BANK, [], [B, C], ONE_IN_SHOP) is None


def test_who_has_waited_longest_is_next() -> None:
    assert turn(A, [A, B], [C], TWO) == (
        True,
        f"{ONE_OF_TWO}, and its turn has come",
    )
    assert turn(B, [A, B], [C], TWO) == (
        False,
        f"{ONE_OF_TWO}; it is number 2 in line",
    )


def test_who_comes_to_the_line_stands_behind_all_others() -> None:
    told = turn(D, [A, B], [C], TWO)

    assert told is not None
    assert told[1].endswith("it is number 3 in line")


def test_places_far_behind_are_not_counted_so_that_a_step_of_the_line_is_few_writes() -> None:
    line = [Key("shop", f"r{number:03}") for number in range(30)]

    assert [turn(key, line, [], ONE_IN_SHOP) for key in (line[9], line[10], line[29])] == [
        (
            False,
            f"0 runs are in progress in namespace shop (at most 1 by RolloutPolicy one); {rest}",
        )
        for rest in (
            "it is number 10 in line",
            "over 10 are before it in line",
            "over 10 are before it in line",
        )
    ]


def test_whoever_waits_for_its_own_namespace_keeps_no_other_from_starting() -> None:
    limits = (TWO, ONE_IN_SHOP)

    assert turns.admitted([A, B, BANK], running=[C], limits=limits) == (BANK,)
    told = turn(A, [A, BANK], [C], *limits)
    assert told is not None
    assert "1 run is in progress in namespace shop (at most 1 by RolloutPolicy one)" in told[1]


def test_of_two_limits_for_one_place_the_smaller_one_counts() -> None:
    loose = Limit(runs_max=9, by="ClusterRolloutPolicy loose")

    assert turns.admitted([A, B, BANK], running=[], limits=[loose, TWO]) == (A, B)


KEYS = st.lists(
    st.builds(Key, st.sampled_from(["shop", "bank"]), st.sampled_from("abcdefgh")), unique=True
)
LIMITS = st.lists(
    st.builds(
        Limit,
        runs_max=st.integers(1, 3),
        by=st.sampled_from(["one", "other"]),
        namespace=st.sampled_from(["", "shop", "bank"]),
    ),
    max_size=3,
)


@given(line=KEYS, running=KEYS, limits=LIMITS)
def test_no_limit_is_exceeded_and_no_place_is_left_free_for_one_who_may(
    line: list[Key], running: list[Key], limits: list[Limit]
) -> None:
    line = [key for key in line if key not in running]

    found = turns.admitted(line, running=running, limits=limits)

    after = [*running, *found]
    for limit in limits:
        before = sum(limit.namespace in {"", key.namespace} for key in running)
        count = sum(limit.namespace in {"", key.namespace} for key in after)
        assert count <= max(limit.runs_max, before)
    for key in set(line) - set(found):
        full = [
            limit
            for limit in limits
            if limit.namespace in {"", key.namespace}
            and sum(limit.namespace in {"", one.namespace} for one in after) >= limit.runs_max
        ]
        assert full, "it could have started"


@given(line=KEYS, running=KEYS, limits=LIMITS)
def test_of_one_namespace_nobody_is_overtaken(
    line: list[Key], running: list[Key], limits: list[Limit]
) -> None:
    found = turns.admitted(line, running=running, limits=limits)

    for namespace in ("shop", "bank"):
        near = [key for key in line if key.namespace == namespace]
        assert [key for key in found if key.namespace == namespace] == near[
            : sum(key.namespace == namespace for key in found)
        ]


# How a Rollout waits.

BEHIND = Turn(is_next=False, running_count=2, ahead_count=1, limit=TWO)
NEXT = Turn(is_next=True, running_count=1, ahead_count=0, limit=TWO)


def test_a_rollout_that_is_not_next_waits_without_an_alarm_once_it_stands_in_line() -> None:
    world = World(turn=BEHIND).settle()

    assert world.phase == "Pending"
    assert world.status.reason == "InLine"
    assert world.message.endswith("it is number 2 in line")
    world.after(LINE_SECONDS)
    assert world.look_again_at is None


def test_even_who_is_next_stands_in_line_for_a_moment_and_then_starts() -> None:
    world = World(turn=NEXT).settle()
    waiting = world.status.waiting

    assert world.phase == "Pending"
    assert waiting is not None
    assert waiting.in_line_since == MORNING
    assert world.look_again_at == MORNING + timedelta(seconds=LINE_SECONDS)

    world.after(LINE_SECONDS)
    assert world.run.started_at == MORNING + timedelta(seconds=LINE_SECONDS)
    assert world.status.waiting is None


def test_an_event_does_not_shorten_the_moment_in_the_line() -> None:
    world = World(turn=NEXT).settle()
    world.now += timedelta(seconds=LINE_SECONDS / 2)

    world.settle()

    assert world.phase == "Pending"


def test_who_has_waited_in_a_freeze_keeps_the_time_and_stands_in_line_only_afterwards() -> None:
    world = World(turn=BEHIND, suspended=True).settle()
    world.now += timedelta(hours=1)
    world.suspended = False
    world.settle()
    waiting = world.status.waiting

    assert waiting is not None
    assert waiting.since == MORNING
    assert waiting.in_line_since == MORNING + timedelta(hours=1)

    world.suspended = True
    world.settle()
    waiting = world.status.waiting
    assert waiting is not None
    assert (waiting.since, waiting.in_line_since) == (MORNING, None)


def test_what_must_be_mended_first_costs_nobody_the_time_waited() -> None:
    world = World(turn=BEHIND).settle()
    world.now += timedelta(minutes=5)
    assert world.subsets is not None
    subset = world.subsets.pop("v2")
    world.settle()
    assert world.phase == "Blocked"

    world.subsets["v2"] = subset
    world.now += timedelta(minutes=5)
    world.settle()

    assert world.status.waiting is not None
    assert world.status.waiting.since == MORNING


def test_who_wants_the_stable_revision_again_has_left_the_line() -> None:
    world = World(turn=BEHIND).settle()

    world.want("v1").settle()

    assert world.phase == "Stable"
    assert world.status.waiting is None


@pytest.mark.parametrize("stands", [BEHIND, NEXT])
def test_a_retry_is_granted_and_waits_for_its_turn(stands: Turn) -> None:
    world = at_step(3)
    world.says = always(Verdict.FAIL)
    world.settle().until(Phase.ROLLED_BACK)
    world.says, world.turn = always(Verdict.PASS), stands

    answer = world.tell(Verb.RETRY)

    assert answer.outcome is ActionOutcome.APPLIED
    assert world.phase == "Pending"
    assert world.status.waiting is not None
