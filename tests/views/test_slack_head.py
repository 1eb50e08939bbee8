"""The head of a run's thread says where it is and why, and offers what can be pressed now."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.api.action import Verb
from rollout.api.chat import Message
from rollout.api.evidence import Verdict
from rollout.api.phase import Outcome, Phase
from rollout.api.status import Command, Decided, GateStatus
from rollout.api.step import Approval, Approvers, Step, Strategy
from rollout.views import slack_ask, slack_head, subject
from rollout.views.slack_head import head, verbs
from tests.people.runs import CLIMBING, LADDER, STATES, ending, of, status
from tests.people.runs import subject as shown
from tests.people.shown import buttons, faults, read_aloud
from tests.views.samples import NOW, manifest
from tests.views.test_slack_text import HOSTILE

UID = "6f9c2f0e-5d0b-4c57-9d8e-2a7f2f7b3c11"


def drawn(name: str, **changes: Any) -> Message:
    return head(shown(name), now=NOW, uid=UID, **changes)


@pytest.mark.parametrize("name", STATES)
def test_every_state_can_be_shown(name: str) -> None:
    message = drawn(name, url="https://rollouts.example/shop/reviews?a=b&c=d")

    assert faults(message) == []
    assert message.text.startswith("shop/reviews: v2 → v3: ")


@pytest.mark.parametrize("name", STATES)
def test_blocks_come_in_the_same_order_in_every_state(name: str) -> None:
    kinds = [block["type"] for block in drawn(name).blocks if block["type"] != "actions"]

    assert kinds[:3] == ["header", "section", "section"]
    assert kinds[-1] == "context"
    assert set(kinds[3:-1]) <= {"section"}


@pytest.mark.parametrize(
    ("name", "offered"),
    [
        ("preparing", [Verb.PAUSE, Verb.ABORT]),
        ("progressing", [Verb.PROMOTE, Verb.PAUSE, Verb.ABORT]),
        ("approval", [Verb.APPROVE, Verb.REJECT, Verb.PAUSE, Verb.ABORT]),
        ("approved", [Verb.PROMOTE, Verb.PAUSE, Verb.ABORT]),
        ("paused", [Verb.RESUME, Verb.PROMOTE, Verb.ABORT]),
        ("baking", [Verb.PROMOTE, Verb.PAUSE, Verb.ABORT]),
        ("blocked", [Verb.PROMOTE, Verb.PAUSE, Verb.ABORT]),
        ("rolling back", []),
        ("rolled back", [Verb.RETRY]),
        ("rejected", [Verb.RETRY]),
        ("aborted", [Verb.RETRY]),
        ("promoted", []),
    ],
)
def test_what_can_be_pressed_fits_the_state(name: str, offered: list[Verb]) -> None:
    found = buttons(drawn(name))

    assert [slack_ask.read(one["value"]).verb for one in found.values()] == offered
    assert list(found) == [slack_ask.action_of(verb) for verb in offered]
    assert list(verbs(shown(name))) == offered


def test_a_button_names_rollout_run_and_step() -> None:
    ask = slack_ask.read(buttons(drawn("approval"))["rollout.approve"]["value"])

    assert (str(ask.key), ask.uid, ask.run, ask.step) == ("shop/reviews", UID, "14", 3)


def test_where_no_press_can_arrive_there_are_no_buttons() -> None:
    assert buttons(drawn("approval", pressable=False)) == {}


def test_what_is_not_easily_taken_back_asks_first() -> None:
    found = {**buttons(drawn("approval")), **buttons(drawn("progressing"))}
    found |= buttons(drawn("rolled back"))

    sure = {name for name, one in found.items() if "confirm" in one}
    assert sure == {"rollout.approve", "rollout.promote", "rollout.retry"}


def test_an_approval_that_is_given_offers_nothing_to_approve() -> None:
    given = status({**vars_of("approved"), "step": 3, "weight": 25.0})

    assert verbs(of(given)) == (Verb.PAUSE, Verb.ABORT)


def vars_of(name: str) -> dict[str, Any]:
    run = STATES[name].run
    assert run is not None
    return {"approvals": run.approvals, "gates": run.gates}


def test_a_canary_that_retreated_is_not_promoted_by_pressing() -> None:
    assert verbs(of(status({"retreated": True}))) == (Verb.PAUSE, Verb.ABORT)


def test_a_rollout_without_a_run_offers_nothing() -> None:
    assert verbs(of(STATES["progressing"].model_copy(update={"run": None}))) == ()


def test_another_revision_is_not_retried_by_the_old_runs_button() -> None:
    assert verbs(of(STATES["rolled back"], revision="v4")) == ()


def test_a_head_in_progress_tells_weights_ladder_gates_and_what_is_next() -> None:
    told = read_aloud(drawn("progressing"))

    assert told.splitlines() == [
        "shop/reviews: v2 → v3",
        "🔵 *Progressing.* 25 % of reviews goes to v3 (step 2 of 5) until 12:00:40.",
        "`█████···············` 25 % of the traffic",
        "`████▉···············` 24.6 % seen",
        "Step 2 of 5: 1 % ✓ ─ *[25 %]* ─ approval ─ 50 % ─ 100 % ─ bake 10m",
        (
            "*Next:* an approval at <!date^1795435240^{time_secs}|2026-11-23 12:00 UTC>, "
            "if latency then passes."
        ),
        "? *latency* cannot say yet: 40 more requests are needed, in about 30s",
        "✓ *errors* passes: 0.2 % of 1,204 requests to v3 failed, 0.3 % of 3,614 to v2",
        "Promote",
        "Pause",
        "Abort",
        "run 14 · started <!date^1795434960^{date_short_pretty} {time}|2026-11-23 11:56 UTC>",
    ]


@pytest.mark.parametrize("name", STATES)
def test_a_head_stays_the_same_for_as_long_as_nothing_happens(name: str) -> None:
    later = head(shown(name), now=NOW + timedelta(seconds=20), uid=UID)

    assert later == drawn(name)


def test_a_head_that_waits_mentions_those_who_may_approve_and_who_has() -> None:
    told = read_aloud(drawn("approval"))

    assert "carol@example.com, <@U0ALICE>, <@U0BOB>, <!subteam^S0MANAGERS>" in told
    assert "*Approval:* 1 of 2, until <!date^" in told
    assert "✓ Approved by alice@example.com, step 3, <!date^" in told
    assert "*Next:* 50 % of the traffic, when somebody approves." in told


def test_the_text_for_notifications_says_it_in_a_sentence() -> None:
    assert drawn("rolled back").text == (
        "shop/reviews: v2 → v3: rolled back: all of reviews is on v2: 8.1 % of 86 requests to v3 "
        "failed, more than maxPercent 1."
    )


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("paused", "<@U0BOB> paused the run, <!date^1795435200^"),
        ("paused", "|2026-11-23 12:00 UTC>: lunch"),
        ("rejected", "✗ Rejected by <@U0BOB>, step 3"),
        ("rejected", "🔴 *Aborted.*"),
        ("aborted", "carol@example.com ended the run, <!date^"),
        ("promoted", "✅ *Promoted.*"),
        ("promoted", "✓ Approved by <@U0BOB>, step 3, <!date^"),
        ("promoted", "took 31m"),
        ("rolled back", "✗ *errors* fails: 8.1 % of 86 requests"),
    ],
)
def test_after_a_decision_it_says_who_took_it(name: str, words: str) -> None:
    assert words in read_aloud(drawn(name))


def test_a_rejection_is_told_once() -> None:
    assert "ended the run" not in read_aloud(drawn("rejected"))


def test_a_run_sent_to_all_at_once_says_by_whom() -> None:
    by = Command(by="carol@example.com", at=NOW)
    told = read_aloud(head(of(status({"promoted_full": by})), now=NOW, uid=UID))

    assert "carol@example.com sent the run to 100 %, <!date^" in told


def test_a_run_that_is_over_says_why_though_the_status_speaks_of_something_else() -> None:
    over = STATES["rolled back"]
    assert over.run is not None
    past = over.history[0].model_copy(
        update={"id": "14", "because": "it failed", "outcome": Outcome.ROLLED_BACK}
    )
    later = over.model_copy(
        update={"phase": Phase.PENDING, "message": "waits for a window", "history": (past,)}
    )

    assert "🔴 *Rolled back.* it failed." in read_aloud(head(of(later), now=NOW, uid=UID))


def test_a_gate_that_only_observes_says_so_and_one_without_words_says_its_verdict() -> None:
    observed = LADDER.gates[0].model_copy(update={"mode": "Observe"})
    run = status(
        {
            "plan": LADDER.model_copy(update={"gates": (observed, *LADDER.gates[1:])}),
            "gates": (GateStatus(name="errors", verdict=Verdict.PASS),),
        }
    )

    assert "✓ *errors* (observes only) passes\n" in read_aloud(head(of(run), now=NOW, uid=UID))


def test_many_gates_with_long_words_are_told_as_far_as_there_is_room() -> None:
    gates = tuple(
        GateStatus(name=f"gate-{number}", verdict=Verdict.PASS, because="<" * 1000)
        for number in range(16)
    )
    message = head(of(status({"gates": gates})), now=NOW, uid=UID)

    assert faults(message) == []
    assert "more" in read_aloud(message)


@pytest.mark.parametrize(("step", "words"), [(1, " ─ …"), (25, "… ─ "), (50, "… ─ ")])
def test_of_a_long_ladder_the_rungs_around_the_present_one_are_shown(step: int, words: str) -> None:
    weights = (Step(weight=n / 5 + 1, hold="2m") for n in range(50))
    plan = LADDER.model_copy(update={"strategy": Strategy(steps=tuple(weights))})
    run = status({"plan": plan, "step": step, "step_count": 50})
    message = head(of(run), now=NOW, uid=UID)

    ladder = next(line for line in read_aloud(message).splitlines() if " ─ " in line)
    assert words in ladder
    assert "*[" in ladder
    assert len(ladder) < 250


def test_a_ladder_without_rungs_is_none() -> None:
    plan = LADDER.model_copy(update={"strategy": Strategy(steps=(), bake="0s")})

    assert (
        faults(head(of(status({"plan": plan, "step": 1, "step_count": 0})), now=NOW, uid=UID)) == []
    )


def test_many_decisions_are_told_as_far_as_there_is_room() -> None:
    said = tuple(
        Decided(step=3, verdict="Approved", by=f"{n}@example.com", at=NOW, reason="&" * 128)
        for n in range(40)
    )
    message = head(of(status({"step": 3, "approvals": said})), now=NOW, uid=UID)

    assert faults(message) == []
    assert "more" in read_aloud(message)


def test_an_approval_that_never_expires_has_no_date() -> None:
    asked = Approval(approvers=Approvers(users=("a@example.com",)))
    plan = LADDER.model_copy(update={"strategy": Strategy(steps=(Step(approval=asked),))})
    told = read_aloud(head(of(status({"plan": plan, "step": 1})), now=NOW, uid=UID))

    assert "*Approval:* 0 of 1\n" in f"{told}\n"


def test_why_the_revision_was_asked_for_is_told_while_it_is_the_one() -> None:
    found = manifest(STATES["progressing"], annotations={"rollout.dev/reason": "fix <b> carts"})

    told = read_aloud(head(subject.read(found), now=NOW, uid=UID))
    other = replace(subject.read(found), revision="v4")

    assert "fix &lt;b&gt; carts" in told
    assert "carts" not in read_aloud(head(other, now=NOW, uid=UID))


def test_an_address_of_more_is_a_link() -> None:
    assert "<https://x.example/a|details>" in read_aloud(
        drawn("promoted", url="https://x.example/a")
    )


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(sorted(STATES)),
    HOSTILE,
    st.integers(0, 30),
    st.sampled_from(["slack:U0BOB", "slack:U|>", "a&b<c>@example.com", "x" * 253]),
)
def test_no_text_of_anybodys_can_break_the_message(
    name: str, text: str, times: int, by: str
) -> None:
    text = text.encode(errors="replace").decode()  # what is no text at all no status can hold
    long = (text * (1 + times))[:1024]
    before = STATES[name]
    assert before.run is not None
    command = Command(by=by, via="cli", at=NOW, reason=long)
    run = before.run.model_copy(
        update={
            "canary_revision": long[:253],
            "stable_revision": long[:253],
            "gates": tuple(gate.model_copy(update={"because": long}) for gate in before.run.gates),
            "approvals": (Decided(step=3, verdict="Rejected", by=by, at=NOW, reason=text[:80]),),
            "paused": command,
            "ending": before.run.ending
            and ending(before.run.ending.outcome, long, command=command),
        }
    )
    found = of(before.model_copy(update={"message": long, "run": run}))
    message = head(replace(found, asked_because=long), now=NOW, uid=UID, url=long)

    assert faults(message) == []


def test_the_run_of_the_samples_is_one_that_a_controller_writes() -> None:
    assert CLIMBING.model_validate(CLIMBING.model_dump()) == CLIMBING
    assert NOW - CLIMBING.started_at == timedelta(minutes=4)
    assert set(slack_head.MARKS) == set(Phase)
    assert set(slack_head.ENDS) == set(Outcome)
