"""What people are told of a run: each thing once, in order, in the words of the status."""

from __future__ import annotations

from typing import Any

from rollout.api.action import Verb
from rollout.api.notify import OUTBOX_MAX, News, Sink, Thread
from rollout.api.phase import Phase
from rollout.engine import telling
from tests.world.engine_world import FAIL, PASS, World, always, at_step, spec_of

ALICE = "alice@example.com"


def listening(*sinks: Sink, **fields: Any) -> World:
    world = World(**fields)
    world.sinks = dict.fromkeys(sinks or (Sink.SLACK,))
    return world.settle()


def heard(world: World) -> list[News]:
    return [one.news for one in world.status.outbox]


def messages(world: World) -> list[str]:
    return [one.message for one in world.status.outbox]


def test_a_promotion_is_told_from_its_start_to_its_end() -> None:
    world = listening()
    world.until(Phase.STABLE)

    began = [News.STEP_BEGAN] * 6
    assert heard(world) == [News.STARTED, *began, News.PROMOTED]
    assert [one.id for one in world.status.outbox] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert [one.step for one in world.status.outbox][:3] == [0, 1, 2]
    assert messages(world)[0].startswith("run 1 takes reviews from v1 to v2 in 5 steps")
    assert messages(world)[1].startswith("1 % of reviews goes to v2 (step 1 of 5)")
    assert "promoted after" in messages(world)[-1]


def test_where_nobody_listens_nothing_is_written() -> None:
    world = World().settle()
    world.until(Phase.STABLE)

    assert world.status.outbox == ()


def test_a_failing_gate_is_told_with_its_reason_and_again_when_all_traffic_is_back() -> None:
    world = listening()
    world.until_step(2)
    world.says = always(FAIL)
    world.until(Phase.ROLLED_BACK)

    assert heard(world)[-2:] == [News.ROLLING_BACK, News.ROLLED_BACK]
    assert "errors says fail" in messages(world)[-2]


def test_people_are_named_with_their_tool_and_their_reason() -> None:
    steps = [{"weight": 5, "hold": "30s"}, {"approval": {"approvers": {"users": [ALICE]}}}]
    world = at_step(2, spec=spec_of(strategy={"steps": steps})).after(10)
    world.sinks = {Sink.SLACK: None}

    world.tell(Verb.PAUSE, via="cli", reason="lunch")
    world.tell(Verb.RESUME)
    world.tell(Verb.APPROVE, via="slack", reason="all is well")

    said = [(one.news, one.by, one.message) for one in world.status.outbox if one.by]
    assert said == [
        (News.COMMANDED, ALICE, f"{ALICE} paused the run (cli): lunch"),
        (News.COMMANDED, ALICE, f"{ALICE} resumed the run"),
        (News.APPROVED, ALICE, f"{ALICE} approved step 2 (slack): all is well"),
    ]


def test_a_wait_for_people_is_said_once_however_long_it_is() -> None:
    steps = [{"weight": 5, "hold": "30s"}, {"approval": {"approvers": {"users": [ALICE]}}}]
    world = listening(spec=spec_of(strategy={"steps": steps, "maxDuration": "6h"}))
    world.until_step(2)
    world.after(1800)

    assert heard(world) == [News.STARTED, News.STEP_BEGAN, News.WAITING]
    assert "waits for approval by alice@example.com" in messages(world)[-1]


def test_a_command_that_is_repeated_or_refused_is_no_news() -> None:
    world = at_step(1)
    world.sinks = {Sink.SLACK: None}
    world.tell(Verb.PAUSE, reason="x")
    count = len(world.status.outbox)
    world.tell(Verb.PAUSE, reason="x", sequence=2)
    world.tell(Verb.APPROVE)

    assert len(world.status.outbox) == count


def test_an_abort_names_who_did_it_in_every_message() -> None:
    world = at_step(1)
    world.sinks = {Sink.SLACK: None}
    world.tell(Verb.ABORT, actor="bob@example.com", reason="it smells")
    world.until(Phase.ROLLED_BACK)

    assert heard(world) == [News.COMMANDED, News.ROLLING_BACK, News.ABORTED]
    assert {one.by for one in world.status.outbox} == {"bob@example.com"}


def test_each_sink_is_told_what_it_asked_for() -> None:
    world = World()
    world.sinks = {Sink.SLACK: (News.PROMOTED,), Sink.WEBHOOK: None}
    world.settle().until(Phase.STABLE)

    for_slack = [one.news for one in world.status.outbox if Sink.SLACK in one.still]
    assert for_slack == [News.PROMOTED]
    assert len(world.status.outbox) == 8


def test_what_was_told_is_ticked_off_and_numbers_go_on() -> None:
    world = World()
    world.sinks = {Sink.SLACK: None, Sink.WEBHOOK: None}
    world.settle()
    world.until_step(1)
    world.delivered = {(1, Sink.SLACK), (1, Sink.WEBHOOK), (2, Sink.SLACK)}
    world.settle()

    (left,) = world.status.outbox
    assert (left.id, left.still) == (2, (Sink.WEBHOOK,))
    world.until_step(2)
    assert [one.id for one in world.status.outbox] == [2, 3]


def test_a_sink_that_is_taken_out_of_the_spec_is_not_waited_for() -> None:
    world = listening()
    world.until_step(1)
    world.sinks = {}
    world.settle()

    assert world.status.outbox == ()


def test_too_many_become_one_that_says_how_many() -> None:
    world = at_step(1)
    world.sinks = {Sink.SLACK: None}
    for number in range(15):
        world.tell(Verb.PAUSE, sequence=2 * number, reason=f"reason {number}")
        world.tell(Verb.RESUME, sequence=2 * number + 1)

    outbox = world.status.outbox
    assert len(outbox) == OUTBOX_MAX
    assert outbox[0].news is News.MISSED
    assert outbox[0].message.startswith("11 earlier messages did not fit; the newest of them: ")
    assert [one.id for one in outbox] == sorted(one.id for one in outbox)
    assert world.status.told == 30


def test_long_messages_leave_room_in_the_status() -> None:
    world = at_step(1)
    world.sinks = {Sink.SLACK: None}
    for number in range(12):
        world.tell(Verb.PAUSE, sequence=2 * number, reason=f"{number} " + "x" * 1000)
        world.tell(Verb.RESUME, sequence=2 * number + 1)

    total = sum(len(one.message) for one in world.status.outbox)
    assert total <= telling.OUTBOX_LENGTH_MAX
    assert all(len(one.message) <= telling.MESSAGE_LENGTH_MAX for one in world.status.outbox)


def test_a_decision_whose_status_was_lost_tells_the_same_under_the_same_number() -> None:
    world = World()
    world.sinks = {Sink.SLACK: None}
    first = world.reconcile(lose="status")
    world.settle()

    assert first.status.outbox == world.status.outbox[:1]
    assert [one.id for one in world.status.outbox] == list(range(1, len(world.status.outbox) + 1))


def test_where_the_thread_stands_is_remembered() -> None:
    world = listening()
    world.thread = Thread(run="1", channel="C1", ts="1.000100")
    world.settle()
    world.thread = None
    world.says = always(PASS)
    world.after(30)

    assert world.status.slack == Thread(run="1", channel="C1", ts="1.000100")
