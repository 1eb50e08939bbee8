"""Webhooks: when a run waits for them, and what comes of a yes, a no and no answer."""

from __future__ import annotations

from typing import Any

import pytest

from rollout.api.action import ActionOutcome, Verb
from rollout.api.evidence import Verdict
from rollout.api.phase import Outcome, Phase
from rollout.api.webhook import HookPoint, HookResult
from tests.world.engine_world import HOOKS, MORNING, World, always, at_step, spec_of

FIRST, STEP, PROMOTION = "BeforeFirstTraffic", "BeforeStep", "BeforePromotion"
PROMOTED, ROLLED_BACK = "AfterPromotion", "AfterRollback"


def hook(name: str = "smoke", point: str = FIRST, **fields: Any) -> dict[str, Any]:
    return {"name": name, "point": point, "url": f"{HOOKS}{name}", **fields}


def world(*hooks: dict[str, Any], strategy: dict[str, Any] | None = None, **fields: Any) -> World:
    spec = spec_of(webhooks=list(hooks), strategy=strategy or {})
    return World(spec=spec, says=always(Verdict.PASS), **fields)


def asked(found: World) -> list[tuple[str, int]]:
    return [(call.webhook.name, call.step) for call in found.asked]


def test_no_traffic_moves_before_the_first_webhook_has_said_yes() -> None:
    found = world(hook(), hook_says={"smoke": None}).settle().after(120)

    assert (found.run.step, found.percent) == (0, 0)
    assert (found.phase, found.status.reason) == ("Preparing", "WaitingForWebhook")
    assert found.message == "v2 is ready; 1 % when webhook smoke passes"

    found.heard[found.run.id, "smoke"] = yes(found)
    found.settle()

    assert (found.run.step, found.percent) == (1, 1)
    assert found.told("WebhookPassed")[0].message == "webhook smoke passed before any traffic"


def yes(found: World, name: str = "smoke", *, step: int = 1) -> HookResult:
    (point,) = {h.point for h in found.run.plan.webhooks if h.name == name}
    return HookResult(name=name, point=point, step=step, outcome="Passed", attempts=1, at=found.now)


def test_each_point_is_asked_where_it_belongs_and_once() -> None:
    found = world(
        hook(),
        hook("each", STEP),
        hook("some", STEP, steps=[2, 4]),
        hook("last", PROMOTION),
        hook("over", PROMOTED),
        hook("back", ROLLED_BACK),
    )
    found.settle().until(Phase.STABLE)

    assert asked(found) == [
        *(("smoke", 1), ("each", 1), ("each", 2), ("some", 2), ("each", 3)),
        *(("each", 4), ("some", 4), ("each", 5), ("last", 5), ("over", 6)),
    ]
    assert {r.name: r.step for r in found.run.hooks} == {
        "smoke": 1,
        "each": 5,
        "some": 4,
        "last": 5,
        "over": 6,
    }
    found.settle()
    assert len(found.asked) == 10


def test_traffic_is_also_a_match_or_copies() -> None:
    match = {"headers": {"x-canary": {"exact": "yes"}}}
    steps = [{"pause": {"for": "5s"}}, {"match": match}, {"match": {}}, {"weight": 100}]
    found = world(hook(), strategy={"steps": steps})
    found.settle().until(Phase.STABLE)

    assert asked(found) == [("smoke", 2)]


@pytest.mark.parametrize("point", [FIRST, STEP, PROMOTION])
def test_a_no_takes_the_canary_back(point: str) -> None:
    found = world(hook(point=point), hook_says={"smoke": False})
    found.settle().until(Phase.ROLLED_BACK)

    ending = found.run.ending
    assert ending is not None
    assert ending.outcome is Outcome.ROLLED_BACK
    assert ending.because.startswith("webhook smoke failed before ")
    assert ending.because.endswith(": it answered 409")
    assert found.on_stable
    assert len(found.asked) == 1
    assert found.told("WebhookFailed")


def test_a_no_that_holds_is_asked_anew_each_minute_until_it_is_a_yes() -> None:
    found = world(hook(point=STEP, steps=[2], failure="Hold"), hook_says={"smoke": False})
    found.settle().until_step(1).after(200)

    assert (found.run.step, found.phase) == (1, "Waiting")
    assert found.status.reason == "WebhookFails"
    assert "webhook smoke failed before step 2: it answered 409; asked anew at" in found.message
    assert [call.round for call in found.asked] == [1, 2, 3]
    assert found.run.hooks[0].round == 3
    assert len(found.told("WebhookFailed")) == 1

    found.hook_says["smoke"] = True
    found.until_step(2)

    assert found.run.hooks[0].passed


def test_a_no_that_is_ignored_is_told_and_passes() -> None:
    found = world(hook(failure="Ignore"), hook_says={"smoke": False})
    found.settle().until(Phase.STABLE)

    assert not found.run.hooks[0].passed
    assert len(found.told("WebhookFailed")) == 1


def test_no_answer_yet_does_not_pass_where_a_no_would() -> None:
    found = world(hook(failure="Ignore"), hook_says={"smoke": None}).settle().after(600)

    assert found.run.step == 0


def test_who_promotes_ends_the_step_once_the_webhook_passes() -> None:
    found = world(
        hook(point=STEP, steps=[3]),
        strategy={"steps": [{"weight": 5}, {"pause": {}}, {"weight": 100}]},
        hook_says={"smoke": None},
    )
    found.settle().until_step(2)

    answer = found.tell(Verb.PROMOTE)

    assert answer.outcome is ActionOutcome.APPLIED
    assert answer.message == "step 2 ends once webhook smoke passes"
    assert found.run.step == 2
    assert found.run.sent_on is not None
    found.after(300)
    assert found.run.step == 2
    found.heard[found.run.id, "smoke"] = yes(found, step=3)
    found.settle()
    assert found.run.step == 3
    assert found.run.sent_on is None


@pytest.mark.parametrize("holder", ["pause", "suspend"])
def test_a_promotion_that_waits_gives_way_to_who_holds_the_run(holder: str) -> None:
    found = world(
        hook(point=STEP, steps=[2]),
        strategy={"steps": [{"weight": 5, "hold": "30m"}, {"weight": 100}]},
        hook_says={"smoke": None},
    )
    found.settle().until_step(1)
    found.tell(Verb.PROMOTE)
    if holder == "pause":
        found.tell(Verb.PAUSE)
    else:
        found.suspend(value=True).settle()
    found.heard[found.run.id, "smoke"] = yes(found, step=2)
    found.settle().after(60)

    assert found.run.step == 1


@pytest.mark.parametrize("verb", [Verb.PROMOTE, Verb.PROMOTE_FULL])
def test_nobody_passes_a_no(verb: Verb) -> None:
    found = world(hook(point=STEP, failure="Hold"), hook_says={"smoke": True})
    found.settle().until_step(1)
    found.hook_says["smoke"] = False
    found.after(40)

    answer = found.tell(verb)

    assert answer.outcome is ActionOutcome.REFUSED
    assert answer.message.startswith("webhook smoke failed before step 2: it answered 409; ")
    assert found.run.step == 1


def test_to_100_percent_at_once_waits_for_the_webhooks_of_that_step() -> None:
    found = world(
        hook(), hook("gone", STEP, steps=[2]), hook("last", PROMOTION), hook_says={"last": None}
    )
    found.settle().until_step(1)

    answer = found.tell(Verb.PROMOTE_FULL)

    assert answer.message == "goes to 100 % once webhook last passes; the bake follows"
    assert found.run.step == 1
    found.heard[found.run.id, "last"] = yes(found, "last", step=5)
    found.settle()
    assert found.run.step == 5
    assert ("gone", 2) not in asked(found)


@pytest.mark.parametrize("say", [None, False])
def test_an_abort_waits_for_no_webhook(say: bool | None) -> None:
    found = world(hook(point=STEP, steps=[2], failure="Hold"), hook_says={"smoke": say})
    found.settle().until_step(1).after(60)

    found.tell(Verb.ABORT)

    assert found.run.weight == 0
    assert found.run.ending is not None
    assert found.on_stable


def test_a_failing_gate_waits_for_no_webhook() -> None:
    found = world(hook(point=STEP, steps=[2]), hook_says={"smoke": None})
    found.settle().until_step(1).after(60)
    found.says = always(Verdict.FAIL)

    found.after(30)

    assert found.run.ending is not None
    assert found.on_stable


def test_a_deadline_ends_the_wait_for_an_answer_that_never_comes() -> None:
    found = world(hook(), strategy={"maxDuration": "5m"}, hook_says={"smoke": None})
    found.settle().after(400)

    assert found.phase == "RolledBack"


def test_what_is_told_after_a_run_decides_nothing() -> None:
    found = world(hook("over", PROMOTED), hook_says={"over": False})
    found.settle().until(Phase.STABLE)

    assert found.status.stable_revision == "v2"
    (result,) = found.run.hooks
    assert (result.point, result.passed) == (HookPoint.AFTER_PROMOTION, False)
    assert found.told("WebhookFailed")[-1].message == (
        "webhook over failed after the promotion: it answered 409"
    )


def test_every_end_that_returns_traffic_is_told_after_it() -> None:
    found = world(hook("back", ROLLED_BACK))
    found.settle().until_step(2)
    assert found.asked == []
    found.tell(Verb.ABORT)
    found.until(Phase.ROLLED_BACK).settle()

    assert asked(found) == [("back", 2)]
    assert found.run.hooks[0].passed


def test_an_address_that_is_not_allowed_keeps_the_run_from_starting() -> None:
    found = world(hook(), hook_prefixes=("https://other.example.com/",))
    found.status = found.status.model_copy(update={"stable_revision": "v1", "phase": Phase.STABLE})
    found.settle()

    assert found.status.run is None
    assert (found.phase, found.status.reason) == ("Blocked", "WebhookNotAllowed")
    assert found.message == (
        "spec.webhooks[0].url (smoke) is no address we may post to; "
        "let an operator add how it begins to ROLLOUT_HOOKS, or remove it"
    )


def test_an_address_that_is_not_allowed_any_more_blocks_where_it_would_be_asked() -> None:
    found = world(hook(point=STEP, steps=[3])).settle().until_step(1)
    found.hook_prefixes = ()
    found.until_step(2).after(60)

    assert (found.run.step, found.phase) == (2, "Blocked")
    assert "ROLLOUT_HOOKS" in found.message
    assert found.asked == []


def test_the_plan_of_the_run_decides_whom_to_ask_and_not_an_edited_spec() -> None:
    found = world(hook(point=STEP, steps=[2]), hook_says={"smoke": None})
    found.settle().until_step(1)
    found.edit(spec_of()).after(120)

    assert found.run.step == 1
    assert "the Rollout was edited" in found.message


def test_who_takes_over_asks_again_under_the_same_name_and_nothing_that_was_answered() -> None:
    found = world(hook(), hook("second", STEP, steps=[1]), hook_says={"second": None})
    found.settle().after(20)
    assert {result.name for result in found.run.hooks} == {"smoke"}
    first = found.asked[-1]
    assert first.webhook.name == "second"

    found.heard.clear()
    found.asked.clear()
    found.settle()

    assert set(found.asked) == {first}


def test_an_answer_to_another_step_or_an_older_round_changes_nothing() -> None:
    found = world(hook(point=STEP), hook_says={"smoke": None}).settle()
    found.after(10)
    found.heard[found.run.id, "smoke"] = yes(found, step=1)
    found.settle()
    assert found.run.step == 1
    found.heard[found.run.id, "smoke"] = yes(found, step=1).model_copy(
        update={"outcome": "Failed", "because": "late"}
    )
    found.settle().after(60)

    assert found.run.hooks[0].passed
    assert found.run.step == 1


def test_an_answer_of_a_webhook_that_is_none_of_the_runs_is_not_kept() -> None:
    found = world(hook(), hook_says={"smoke": None}).settle().after(10)
    other = yes(found).model_copy(update={"name": "other"})
    late = yes(found).model_copy(update={"point": HookPoint.AFTER_PROMOTION})
    for result in (other, late):
        found.heard[found.run.id, "smoke"] = result
        found.settle()

    assert found.run.hooks == ()
    assert found.run.step == 0


def test_a_canary_that_comes_back_is_not_asked_about_again() -> None:
    found = world(hook(), hook("each", STEP)).settle().until_step(1)
    found.ready["v2"] = 0
    found.settle()
    assert found.run.retreated
    found.ready["v2"] = 2
    found.settle().after(10)

    assert not found.run.retreated
    assert asked(found) == [("smoke", 1), ("each", 1)]


def test_a_run_without_webhooks_asks_nobody() -> None:
    found = at_step(2, says=always(Verdict.PASS), hook_prefixes=())

    assert found.asked == []
    assert found.run.hooks == ()
    assert found.now > MORNING
