"""The plan of a run."""

from __future__ import annotations

from typing import Any

import pytest

from rollout.base.errors import BadManifest
from rollout.engine import plan as plans
from tests.world.engine_world import spec_of


def weights(*steps: dict[str, Any]) -> list[float | None]:
    plan = plans.resolve(spec_of(strategy={"steps": list(steps)}))
    return [step.weight for step in plan.strategy.steps]


def test_a_ladder_ends_with_100_percent_whether_or_not_it_says_so() -> None:
    assert weights({"weight": 5}, {"weight": 50}) == [5, 50, 100]
    assert weights({"weight": 5}, {"weight": 100}) == [5, 100]
    assert weights() == [100]
    assert weights({"weight": 5}, {"pause": {}}) == [5, None, 100]
    assert weights({"weight": 100}, {"pause": {}}) == [100, None]


def test_a_plan_keeps_what_the_spec_said() -> None:
    spec = spec_of(onFailure="Hold", metrics={"arm": {"label": "v", "stable": "a", "canary": "b"}})

    plan = plans.resolve(spec)

    assert (plan.host, plan.gates, plan.judge) == (spec.host, spec.gates, spec.judge)
    assert (plan.traffic, plan.metrics, plan.on_failure) == (spec.traffic, spec.metrics, "Hold")
    assert plan.strategy == spec.strategy


def test_the_weight_of_a_step_is_the_last_one_named_up_to_there() -> None:
    steps = [{"pause": {}}, {"weight": 5}, {"pause": {}}, {"check": {"gates": ["errors"]}}]
    plan = plans.resolve(spec_of(strategy={"steps": steps}))

    assert [plans.weight_at(plan, step) for step in range(7)] == [0, 0, 5, 5, 5, 100, 100]
    assert plans.full_step(plan) == 5


def test_gates_are_judged_in_the_steps_they_name_in_checks_that_name_them_and_in_the_bake() -> None:
    gates = [
        {"name": "always", "errorRate": {"maxPercent": 1}},
        {"name": "late", "errorRate": {"maxPercent": 1}, "steps": [2]},
    ]
    steps = [{"weight": 5}, {"weight": 6}, {"check": {"gates": ["late"]}}, {"weight": 100}]
    plan = plans.resolve(spec_of(gates=gates, strategy={"steps": steps}))

    judged = [[gate.name for gate in plans.judged(plan, step)] for step in range(6)]

    both = ["always", "late"]
    assert judged == [["always"], ["always"], both, both, ["always"], both]


def query(promql: str, **fields: Any) -> dict[str, Any]:
    return {"name": "own", "query": {"promql": promql, "min": 1} | fields}


def test_queries_that_can_be_asked_are_accepted() -> None:
    gates = [
        {"name": "errors", "errorRate": {"maxPercent": 1}},
        query('sum(rate(orders{version="{{ revision }}"}[{{ window }}])) > {{ step }}'),
    ]

    plans.check_queries(spec_of(gates=gates))


@pytest.mark.parametrize("revision", ["v2", "stable"])
def test_queries_about_both_revisions_must_differ(revision: str) -> None:
    good = query('up{version="{{ revision }}"}', relativeTo="stable")
    bad = query("up", relativeTo="stable")

    plans.check_queries(spec_of(revision=revision, gates=[good]))
    with pytest.raises(BadManifest, match=r"spec\.gates\[0\]\.query\.promql asks the same"):
        plans.check_queries(spec_of(revision=revision, gates=[bad]))


@pytest.mark.parametrize(
    ("promql", "told"),
    [
        ('up{v="{{ revison }}"}', "names an unknown variable 'revison'"),
        ('up{v="{{ revision"}', "opens {{ without closing it"),
    ],
)
def test_a_template_with_an_unknown_variable_is_refused_by_its_name_peers_81(
    promql: str, told: str
) -> None:
    with pytest.raises(BadManifest) as caught:
        plans.check_queries(spec_of(gates=[query(promql)]))

    assert caught.value.field == "spec.gates[0].query.promql"
    assert caught.value.problem == told


def test_mirroring_has_begun_and_ended_at_known_steps() -> None:
    steps = [{"weight": 1}, {"mirror": 10}, {"mirror": 50}, {"weight": 5}, {"mirror": 5}]
    plan = plans.resolve(spec_of(strategy={"steps": steps}))

    assert [plans.mirror_since(plan, step) for step in range(8)] == [0, 0, 2, 2, 4, 5, 6, 6]


def test_without_mirroring_nothing_ever_begins() -> None:
    plan = plans.resolve(spec_of(strategy={"steps": [{"weight": 1}]}))

    assert [plans.mirror_since(plan, step) for step in range(4)] == [0, 0, 0, 0]
