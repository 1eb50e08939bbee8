"""What types allow and meaning does not: each broken rule is one sentence with field and remedy."""

from __future__ import annotations

from typing import Any

import pytest

from rollout.api.reading import read
from rollout.api.rollout import RolloutSpec
from rollout.api.rules import check
from rollout.base.errors import BadManifest

GOOD: dict[str, Any] = {"host": "reviews", "revision": "v3"}
ERRORS: dict[str, Any] = {"name": "errors", "errorRate": {"maxPercent": 1}}


def ladder(*steps: dict[str, Any]) -> dict[str, Any]:
    return {**GOOD, "strategy": {"steps": list(steps)}}


def gated(*gates: dict[str, Any]) -> dict[str, Any]:
    return {**GOOD, "gates": list(gates)}


def hooked(*hooks: dict[str, Any]) -> dict[str, Any]:
    smoke = {"name": "smoke", "point": "BeforeStep", "url": "https://hooks.example.com/"}
    return {**GOOD, "webhooks": [{**smoke, **hook} for hook in hooks]}


BROKEN = {
    "two webhooks of one name": (
        hooked({}, {}),
        "spec.webhooks[1].name 'smoke' is there twice; give it another name",
    ),
    "steps of a webhook that is asked before no step": (
        hooked({"point": "BeforePromotion", "steps": [1]}),
        "spec.webhooks[0].steps means nothing with BeforePromotion; remove it",
    ),
    "a webhook before a step that is not there": (
        hooked({"steps": [5]}),
        "spec.webhooks[0].steps names no step that there is; use 1 to 4",
    ),
    "a webhook before none of the steps": (
        hooked({"steps": []}),
        "spec.webhooks[0].steps names no step that there is; use 1 to 4",
    ),
    "a webhook that may take for ever": (
        hooked({"timeout": "1h"}),
        "spec.webhooks[0].timeout is 1h; use at most 5m",
    ),
    "a webhook without time to answer": (
        hooked({"timeout": "0s"}),
        "spec.webhooks[0].timeout is zero; use a longer duration",
    ),
    "two kinds in a step": (
        ladder({"weight": 5, "pause": {}}),
        (
            "spec.strategy.steps[0] has 2 kinds (weight, pause); "
            "keep one of weight and pause, or make them steps of their own"
        ),
    ),
    "pause and check in a step": (
        ladder({"pause": {}, "check": {"gates": ["errors"]}}),
        "spec.strategy.steps[0] has 2 kinds (pause, check); keep one of pause and check",
    ),
    "a step without a kind": (
        ladder({}),
        (
            "spec.strategy.steps[0] has no kind; "
            "give it exactly one of weight, match, mirror, ramp, pause, approval or check"
        ),
    ),
    "hold beside a pause": (
        ladder({"weight": 5}, {"pause": {}, "hold": "1m"}),
        (
            "spec.strategy.steps[1].hold goes with weight, match or mirror; "
            "use `for` in pause or check, and minHold in ramp"
        ),
    ),
    "a falling ladder": (
        ladder({"weight": 10}, {"weight": 5}),
        (
            "spec.strategy.steps[1].weight is 5 after 10; "
            "weights must rise along the ladder: use more than 10"
        ),
    ),
    "the same weight twice": (
        ladder({"weight": 10}, {"pause": {}}, {"weight": 10}),
        (
            "spec.strategy.steps[2].weight is 10 after 10; "
            "weights must rise along the ladder: use more than 10"
        ),
    ),
    "weights that differ little": (
        ladder({"weight": 12.34}, {"weight": 12.31}),
        (
            "spec.strategy.steps[1].weight is 12.31 after 12.34; "
            "weights must rise along the ladder: use more than 12.34"
        ),
    ),
    "a weight after a hundred": (
        ladder({"weight": 100}, {"weight": 50}),
        (
            "spec.strategy.steps[1].weight is 50 after 100; "
            "weights must rise along the ladder: remove this step"
        ),
    ),
    "fifty steps that do not end at a hundred": (
        ladder(*({"weight": weight} for weight in range(1, 51))),
        (
            "spec.strategy.steps has 50 steps and none of weight 100, which would be one too many; "
            "end it with weight 100, or use fewer steps"
        ),
    ),
    "a match of two kinds": (
        ladder({"match": {"headers": {"x-canary": {"exact": "a", "prefix": "b"}}}}),
        (
            "spec.strategy.steps[0].match.headers.x-canary has 2 kinds (exact, prefix); "
            "keep one of exact and prefix"
        ),
    ),
    "a match of no kind": (
        ladder({"match": {"cookies": {"canary": {}}}}),
        (
            "spec.strategy.steps[0].match.cookies.canary has no kind; "
            "give it exactly one of exact, prefix or regex"
        ),
    ),
    "a match of a pseudo-header": (
        ladder({"match": {"headers": {":path": {"exact": "/"}}}}),
        (
            "spec.strategy.steps[0].match.headers.:path is no name; "
            "use letters, digits, dashes, dots and underscores, such as x-canary"
        ),
    ),
    "a header in two spellings": (
        ladder({"match": {"headers": {"x-a": {"exact": "1"}, "X-A": {"exact": "2"}}}}),
        (
            "spec.strategy.steps[0].match.headers.x-a is there twice, since headers have no case; "
            "keep one of the two"
        ),
    ),
    "a cookie beside the header it is in": (
        ladder(
            {"match": {"headers": {"Cookie": {"exact": "a"}}, "cookies": {"a": {"exact": "b"}}}}
        ),
        (
            "spec.strategy.steps[0].match.headers.cookie stands beside cookies, which are compared "
            "in the same header; keep one of the two"
        ),
    ),
    "an end of a match that never began": (
        ladder({"weight": 5}, {"match": {}}),
        (
            "spec.strategy.steps[1].match ends a match, and none is on; "
            "name headers or cookies, or remove this step"
        ),
    ),
    "an end of a match that has ended": (
        ladder({"match": {"headers": {"a": {"exact": "b"}}}}, {"match": {}}, {"match": {}}),
        (
            "spec.strategy.steps[2].match ends a match, and none is on; "
            "name headers or cookies, or remove this step"
        ),
    ),
    "a mirror of what has all the traffic": (
        ladder({"weight": 100}, {"mirror": 10}),
        (
            "spec.strategy.steps[1].mirror comes after weight 100, when every request goes to the "
            "canary; move it before that step"
        ),
    ),
    "a guard that says nothing": (
        {**GOOD, "guard": {"outlierDetection": {}}},
        "spec.guard.outlierDetection is empty; give it a field, or remove it",
    ),
    "a pool that says nothing": (
        {**GOOD, "guard": {"connectionPool": {"tcp": {"maxConnections": 1}, "http": {}}}},
        "spec.guard.connectionPool.http is empty; give it a field",
    ),
    "a timeout of no time": (
        {**GOOD, "guard": {"timeout": "0s"}},
        "spec.guard.timeout is zero; use a longer duration",
    ),
    "an ejection that takes too long": (
        {**GOOD, "guard": {"outlierDetection": {"baseEjectionTime": "999999h"}}},
        (
            "spec.guard.outlierDetection.baseEjectionTime is '999999h'; "
            "use a duration of at most a year (8784h)"
        ),
    ),
    "a check of an unknown gate": (
        ladder({"check": {"gates": ["errros"]}}),
        "spec.strategy.steps[0].check.gates[0] names 'errros', which is no gate; use one of errors",
    ),
    "a check where no gate is": (
        {**ladder({"check": {"gates": ["errors"]}}), "gates": []},
        (
            "spec.strategy.steps[0].check.gates[0] names 'errors', which is no gate; "
            "add it under spec.gates"
        ),
    ),
    "two gates of one name": (
        gated(ERRORS, ERRORS),
        "spec.gates[1].name 'errors' is there twice; give it another name",
    ),
    "a gate without a kind": (
        gated({"name": "errors"}),
        (
            "spec.gates[0] has no kind; "
            "give it exactly one of errorRate, latency, tcpFailures or query"
        ),
    ),
    "a gate with two kinds": (
        gated({**ERRORS, "tcpFailures": {"maxPercent": 1}}),
        "spec.gates[0] has 2 kinds (errorRate, tcpFailures); keep one of errorRate and tcpFailures",
    ),
    "an error rate without a bound": (
        gated({"name": "errors", "errorRate": {}}),
        "spec.gates[0].errorRate has no bound; give maxPercent, maxRatio or both",
    ),
    "a query without a bound": (
        gated({"name": "orders", "query": {"promql": "up"}}),
        "spec.gates[0].query has no bound; give min, max or both",
    ),
    "a query with crossed bounds": (
        gated({"name": "orders", "query": {"promql": "up", "min": 2, "max": 1}}),
        "spec.gates[0].query.min 2 is above max 1; swap the two",
    ),
    "a latency without a bound": (
        gated({"name": "slow", "latency": {"quantilePercent": 95}}),
        "spec.gates[0].latency has no bound; give max, maxRatio or both",
    ),
    "a gate for a step that is not there": (
        {**ladder({"weight": 5}, {"weight": 100}), "gates": [{**ERRORS, "steps": [3]}]},
        "spec.gates[0].steps names step 3 of 2; use 1 to 2",
    ),
    "a bake of years": (
        {**GOOD, "strategy": {"bake": "99999h"}},
        "spec.strategy.bake is '99999h'; use a duration of at most a year (8784h)",
    ),
    "a hold of years": (
        ladder({"weight": 5, "hold": "99999h"}),
        "spec.strategy.steps[0].hold is '99999h'; use a duration of at most a year (8784h)",
    ),
    "a pause of years": (
        ladder({"pause": {"for": "99999h"}}),
        "spec.strategy.steps[0].pause.for is '99999h'; use a duration of at most a year (8784h)",
    ),
    "a check of years": (
        ladder({"check": {"gates": ["errors"], "for": "99999h"}}),
        "spec.strategy.steps[0].check.for is '99999h'; use a duration of at most a year (8784h)",
    ),
    "a deadline of nothing": (
        {**GOOD, "strategy": {"maxDuration": "0s"}},
        "spec.strategy.maxDuration is zero; use a longer duration",
    ),
    "a latency of nothing": (
        gated({"name": "slow", "latency": {"max": "0ms"}}),
        "spec.gates[0].latency.max is zero; use a longer duration",
    ),
    "looks without a pause between": (
        {**GOOD, "judge": {"maxInterval": "0s"}},
        "spec.judge.maxInterval is zero; use a longer duration",
    ),
    "a quorum that nobody can make": (
        ladder({"approval": {"quorum": 2, "approvers": {"users": ["a@b.c", "a@b.c"]}}}),
        (
            "spec.strategy.steps[0].approval.quorum is 2, and approvers names 1; name more of one "
            "kind, since one person may have a name of each"
        ),
    ),
    "queries that fill the status": (
        gated(*({"name": f"q{i}", "query": {"promql": "x" * 4000, "min": 1}} for i in range(4))),
        (
            "spec takes 16995 bytes, and each run keeps a copy; "
            "use at most 12288; long queries can be recording rules in Prometheus"
        ),
    ),
    "arms that are the same": (
        {**GOOD, "metrics": {"arm": {"label": "version", "stable": "v1", "canary": "v1"}}},
        (
            "spec.metrics.arm.canary is 'v1', the same as stable; "
            "name the canary's own value, or remove spec.metrics.arm"
        ),
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_rule_is_one_sentence_with_field_and_remedy(case: str) -> None:
    document, sentence = BROKEN[case]
    spec = read(RolloutSpec, document, at="spec")

    with pytest.raises(BadManifest) as caught:
        check(spec)

    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    "document",
    [
        GOOD,
        ladder(),
        ladder({"pause": {}}, {"weight": 0.5}, {"pause": {"for": "1m"}}, {"weight": 100}),
        ladder(*({"weight": 2 * weight} for weight in range(1, 51))),
        ladder({"weight": 100, "hold": "0s"}, {"check": {"gates": ["errors"]}}),
        gated({"name": "slow", "latency": {"maxRatio": 1.5}}),
        {**ladder({"weight": 5}, {"weight": 100}), "gates": [{**ERRORS, "steps": [1, 2]}]},
        gated({"name": "orders", "query": {"promql": "up", "min": 1, "max": 1}}),
        gated(),
    ],
    ids=[
        "only host and revision",
        "no steps at all",
        "pauses between",
        "fifty steps that end at a hundred",
        "a check after a hundred",
        "latency compared only",
        "a gate for two steps that are there",
        "a query that must equal",
        "no gates",
    ],
)
def test_what_has_a_meaning_is_let_pass(document: dict[str, Any]) -> None:
    check(read(RolloutSpec, document, at="spec"))


def test_the_first_mistake_in_reading_order_is_told() -> None:
    document = {**ladder({"weight": 5, "pause": {}}, {"weight": 1}), "gates": [{"name": "errors"}]}

    with pytest.raises(BadManifest, match=r"^spec\.strategy\.steps\[0\] has 2 kinds"):
        check(read(RolloutSpec, document, at="spec"))
