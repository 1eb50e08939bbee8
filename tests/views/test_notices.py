"""What machines are told: plain JSON, CloudEvents as their specification wants them, questions."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.api.meta import Key
from rollout.api.notify import News, Sink, Telling
from rollout.api.phase import Outcome
from rollout.api.status import Ending, Run
from rollout.api.webhook import HookPoint, Webhook
from rollout.engine import plan as plans
from rollout.engine.decision import HookCall
from rollout.views import notices
from tests.world.engine_world import spec_of

KEY = Key("shop", "reviews")
UID = "0d9c5f0e-1f7e-4a52-9d52-3d8a4f1c2b7a"
AT = datetime(2026, 11, 23, 10, 20, 30, 123000, tzinfo=UTC)

REQUIRED = {"id", "source", "specversion", "type"}
OPTIONAL = {"datacontenttype", "dataschema", "subject", "time"}
ATTRIBUTE = re.compile(r"^[a-z0-9]{1,20}$")
RFC_3339 = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$")


def telling(**fields: Any) -> Telling:
    known: dict[str, Any] = {
        "id": 7,
        "news": News.STEP_BEGAN,
        "run": "3",
        "revision": "v2",
        "step": 2,
        "weight": 12.5,
        "at": AT,
        "message": "12.5 % of reviews goes to v2 (step 2 of 4)",
        "still": (Sink.WEBHOOK,),
    }
    return Telling.model_validate(known | fields)


TELLINGS = st.builds(
    telling,
    id=st.integers(1, 10**9),
    news=st.sampled_from(News),
    message=st.text(max_size=200),
    by=st.text(max_size=50),
    at=st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - the strategy adds the zone
)


def test_a_message_is_plain_json_with_all_it_was_decided_on() -> None:
    assert notices.plain(KEY, telling(by="alice@example.com"), uid=UID) == {
        "id": f"{UID}/7",
        "namespace": "shop",
        "name": "reviews",
        "news": "StepBegan",
        "run": "3",
        "revision": "v2",
        "step": 2,
        "weight": 12.5,
        "message": "12.5 % of reviews goes to v2 (step 2 of 4)",
        "by": "alice@example.com",
        "at": "2026-11-23T10:20:30.123Z",
    }


def test_a_cloud_event_carries_the_same_as_data() -> None:
    event = notices.cloud_event(KEY, telling(), uid=UID)

    assert event["data"] == notices.plain(KEY, telling(), uid=UID)
    assert event["type"] == "dev.rollout.StepBegan"
    assert event["subject"] == "shop/reviews/3"
    assert event["time"] == event["data"]["at"]


@given(told=TELLINGS)
def test_every_cloud_event_has_what_the_specification_requires_and_nothing_it_forbids(
    told: Telling,
) -> None:
    event = json.loads(json.dumps(notices.cloud_event(KEY, told, uid=UID)))

    assert event.keys() >= REQUIRED
    assert event.keys() <= REQUIRED | OPTIONAL | {"data"}
    assert event["specversion"] == "1.0"
    for name in event.keys() - {"data"}:
        assert ATTRIBUTE.match(name), "attribute names are lower-case letters and digits"
        assert isinstance(event[name], str)
        assert event[name], "an attribute that is there is not empty"
    source = urlsplit(event["source"])
    assert source.path.startswith("/apis/rollout.dev/v1alpha1/namespaces/shop/rollouts/")
    assert RFC_3339.match(event["time"])
    assert event["datacontenttype"] == "application/json"


@given(first=TELLINGS, second=TELLINGS)
def test_source_and_id_together_name_a_message_and_no_other(
    first: Telling, second: Telling
) -> None:
    one, other = (notices.cloud_event(KEY, told, uid=UID) for told in (first, second))

    assert ((one["source"], one["id"]) == (other["source"], other["id"])) is (first.id == second.id)
    again = notices.cloud_event(KEY, first, uid="another-life-of-the-same-name")
    assert again["id"] != one["id"]


def run(**fields: Any) -> Run:
    plan = plans.resolve(spec_of())
    known: dict[str, Any] = {
        "id": "3",
        "canary_revision": "v2",
        "stable_revision": "v1",
        "step": 1,
        "step_count": len(plan.strategy.steps),
        "weight": 1,
        "started_at": AT,
        "step_started_at": AT,
        "plan": plan,
    }
    return Run(**(known | fields))


def call(point: HookPoint = HookPoint.BEFORE_STEP, *, number: int = 1, step: int = 2) -> HookCall:
    hook = Webhook(name="smoke", point=point, url="https://hooks.example.com/?token=secret")
    return HookCall(run="3", step=step, round=number, webhook=hook)


def test_a_question_says_what_is_about_to_happen_and_keeps_the_address_to_itself() -> None:
    document = notices.question(KEY, run(), call(), uid=UID)

    assert document == {
        "id": f"{UID}/3/BeforeStep/2/smoke",
        "webhook": "smoke",
        "point": "BeforeStep",
        "round": 1,
        "namespace": "shop",
        "name": "reviews",
        "host": "reviews",
        "run": "3",
        "stableRevision": "v1",
        "canaryRevision": "v2",
        "startedAt": "2026-11-23T10:20:30.123Z",
        "step": 2,
        "steps": 5,
        "weight": 1,
        "nextWeight": 5,
    }


def test_a_question_that_is_asked_anew_has_another_name() -> None:
    first, second = (notices.question(KEY, run(), call(number=n), uid=UID) for n in (1, 2))

    assert second["id"] == f"{first['id']}/2"


@pytest.mark.parametrize(
    "changes",
    [
        {"step_started_at": AT + timedelta(minutes=5)},
        {"look_again_at": AT},
        {"observed_weight": 1.3},
        {"settled_since": AT},
    ],
)
def test_the_same_question_is_asked_in_the_same_words_whenever_it_is_asked(
    changes: dict[str, Any],
) -> None:
    """A receiver may refuse one that comes again under its key with other words."""
    assert notices.question(KEY, run(**changes), call(), uid=UID) == notices.question(
        KEY, run(), call(), uid=UID
    )


def test_after_a_run_it_is_told_how_it_ended() -> None:
    ending = Ending(outcome=Outcome.ABORTED, because="aborted by bob", decided_at=AT)
    over = run(ending=ending, ended_at=AT + timedelta(seconds=1), weight=0)

    document = notices.question(KEY, over, call(HookPoint.AFTER_ROLLBACK, step=1), uid=UID)

    assert (document["outcome"], document["because"]) == ("Aborted", "aborted by bob")
    assert document["endedAt"] == "2026-11-23T10:20:31.123Z"
    assert "nextWeight" not in document
