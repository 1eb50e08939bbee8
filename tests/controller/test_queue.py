"""The work queue, in simulated time."""

from __future__ import annotations

import asyncio
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.api.meta import Key
from rollout.controller.queue import (
    EVENT_WAIT_SECONDS_MAX,
    PROMPT_IN_A_ROW_COUNT_MAX,
    RETRY_SECONDS_MAX,
    WorkQueue,
)
from tests.world.clock import FakeClock, simulate

pytestmark = pytest.mark.looptime

A, B = Key("shop", "a"), Key("shop", "b")


def new_queue(key_count_max: int = 100) -> WorkQueue:
    return WorkQueue(FakeClock(), Random(1), key_count_max=key_count_max)


async def nothing_comes(queue: WorkQueue, *, within_seconds: float) -> bool:
    try:
        async with asyncio.timeout(within_seconds):
            await queue.get()
    except TimeoutError:
        return True
    return False


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_a_burst_of_events_for_one_key_is_one_look() -> None:
    queue = new_queue()

    for _ in range(50):
        queue.add(A)

    assert await queue.get() == A
    assert await nothing_comes(queue, within_seconds=60)


async def test_keys_come_in_the_order_in_which_they_began_to_wait() -> None:
    queue = new_queue()

    for key in (B, A, B):
        queue.add(key)

    assert [await queue.get(), await queue.get()] == [B, A]


async def test_an_event_during_the_work_brings_the_key_once_more_afterwards() -> None:
    queue = new_queue()
    queue.add(A)
    await queue.get()

    queue.add(A)
    queue.add(A)
    meanwhile = queue.depth_count
    queue.done(A)

    assert meanwhile == 0
    assert await queue.get() == A
    queue.done(A)
    assert await nothing_comes(queue, within_seconds=60)


async def test_back_off_grows_to_its_bound_and_success_forgets_it() -> None:
    queue = new_queue()
    queue.add(A)

    delays = []
    for _ in range(15):
        assert await queue.get() == A
        delays.append(queue.retry(A))
    await queue.get()
    queue.done(A)
    queue.add(A)
    await queue.get()
    first_again = queue.retry(A)

    assert 0.025 <= delays[0] <= 0.05
    assert 15 <= delays[-1] <= RETRY_SECONDS_MAX
    assert 0.025 <= first_again <= 0.05


async def test_an_event_ends_a_grown_back_off_at_once() -> None:
    queue = new_queue()
    queue.add(A)
    for _ in range(12):
        await queue.get()
        queue.retry(A)
    await asyncio.sleep(EVENT_WAIT_SECONDS_MAX)
    before = now()

    queue.add(A)
    await queue.get()

    assert now() == before


async def test_a_key_that_fails_at_the_echo_of_its_own_writes_does_not_spin() -> None:
    queue = new_queue()
    queue.add(A)

    looks = 0
    while now() < 60:
        await queue.get()
        looks += 1
        queue.add(A)
        queue.retry(A)

    assert looks < 100


async def test_a_server_that_asks_for_time_gets_it_even_from_events() -> None:
    queue = new_queue()
    queue.add(A)
    await queue.get()

    queue.retry(A, at_least_seconds=20)
    queue.add(A)
    await queue.get()

    assert now() == pytest.approx(20)


async def test_a_full_queue_refuses_new_keys_and_tells_when_there_is_room() -> None:
    room: list[int] = []
    queue = WorkQueue(FakeClock(), Random(1), key_count_max=4, on_room=lambda: room.append(1))
    keys = [Key("shop", str(number)) for number in range(6)]

    taken = [queue.add(key) for key in keys]
    again = queue.add(keys[0])
    for _ in range(4):
        key = await queue.get()
        assert key is not None
        queue.done(key)

    assert taken == [True] * 4 + [False] * 2
    assert again
    assert queue.refused_count == 2
    assert room == [1]


async def test_figures_tell_depth_and_ages() -> None:
    queue = new_queue()
    queue.add(A)
    queue.add(B)
    await queue.get()

    await asyncio.sleep(7)

    assert (queue.depth_count, queue.oldest_seconds, queue.busiest_seconds) == (1, 7, 7)


async def test_closing_lets_workers_go_and_waits_for_what_is_under_way() -> None:
    queue = new_queue()
    queue.add(A)
    queue.add(B)
    await queue.get()
    ended: list[float] = []

    async def drain() -> None:
        await queue.drained()
        ended.append(now())

    async with asyncio.TaskGroup() as tasks:
        queue.close()
        tasks.create_task(drain())
        assert await queue.get() is None
        await asyncio.sleep(5)
        queue.done(A)

    assert ended == [5]
    assert not queue.add(A)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_no_key_is_ever_worked_on_twice_at_once_and_none_is_forgotten(seed: int) -> None:
    random = Random(seed)
    keys = [Key("shop", str(number)) for number in range(5)]
    touched: dict[Key, float] = {}
    looked: dict[Key, float] = {}

    async def main() -> None:
        queue = WorkQueue(FakeClock(), random)
        working: set[Key] = set()

        async def worker() -> None:
            while (key := await queue.get()) is not None:
                assert key not in working
                working.add(key)
                looked[key] = now()
                await asyncio.sleep(random.uniform(0, 2))
                working.discard(key)
                if random.random() < 0.3:
                    queue.retry(key)
                else:
                    queue.done(key)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(3):
                tasks.create_task(worker())
            for _ in range(60):
                await asyncio.sleep(random.uniform(0, 1))
                key = random.choice(keys)
                queue.add(key)
                touched[key] = now()
            await asyncio.sleep(300)
            queue.close()

    simulate(main())

    assert all(looked[key] >= moment for key, moment in touched.items())


async def test_a_patient_key_lets_others_go_first() -> None:
    queue = new_queue()
    queue.add(A, patient=True)

    queue.add(B)

    assert [await queue.get(), await queue.get()] == [B, A]


async def test_a_patient_key_is_patient_no_more_once_it_is_added_promptly() -> None:
    queue = new_queue()
    queue.add(A, patient=True)
    queue.add(B, patient=True)

    queue.add(B)
    queue.add(B, patient=True)

    assert queue.depth_count == 2
    assert [await queue.get(), await queue.get()] == [B, A]
    assert queue.depth_count == 0


async def test_patient_keys_have_their_turn_however_many_others_come() -> None:
    queue = new_queue()
    queue.add(A, patient=True)
    for i in range(PROMPT_IN_A_ROW_COUNT_MAX + 1):
        queue.add(Key("shop", f"prompt-{i}"))

    taken = [await queue.get() for _ in range(PROMPT_IN_A_ROW_COUNT_MAX + 2)]

    assert taken.index(A) == PROMPT_IN_A_ROW_COUNT_MAX


async def test_a_full_queue_refuses_patient_keys_too() -> None:
    queue = new_queue(key_count_max=1)
    queue.add(A, patient=True)

    taken = queue.add(B, patient=True)

    assert not taken
    assert queue.add(A)
