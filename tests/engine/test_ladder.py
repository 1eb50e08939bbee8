"""Which rung a run is on, whether it is done, and what is missing."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from rollout.api.evidence import GateVerdict, RunEvidence, Verdict
from rollout.api.phase import Phase
from rollout.api.status import Run
from rollout.engine import ladder
from rollout.engine import plan as plans
from rollout.engine.ladder import Rung
from tests.world.engine_world import FAIL, MORNING, PASS, UNKNOWN, spec_of

GATES: list[dict[str, Any]] = [
    {"name": "errors", "errorRate": {"maxPercent": 1}},
    {"name": "slow", "latency": {"max": "1s"}, "steps": [1, 2]},
]
ORDERS = {"promql": 'orders{version="{{ revision }}"}', "min": 0.9, "relativeTo": "stable"}
STEPS: list[dict[str, Any]] = [
    {"weight": 10, "hold": "30s"},
    {"pause": {"for": "1m"}},
    {"pause": {}},
    {"check": {"gates": ["slow"], "for": "20s"}},
    {"weight": 50},
    {"weight": 100, "hold": "40s"},
    {"check": {"gates": ["errors"]}},
]
SETTLED_AT = MORNING + timedelta(seconds=5)
PLAN = plans.resolve(spec_of(gates=GATES, strategy={"steps": STEPS, "bake": "5m"}))


def run_at(step: int, **fields: Any) -> Run:
    known: dict[str, Any] = {
        "id": "1",
        "canary_revision": "v2",
        "stable_revision": "v1",
        "step": step,
        "step_count": len(PLAN.strategy.steps),
        "weight": plans.weight_at(PLAN, step),
        "started_at": MORNING,
        "step_started_at": MORNING,
        "plan": PLAN,
        "evidence": RunEvidence(),
    }
    return Run(**known | fields)


def says(**verdicts: Verdict) -> tuple[GateVerdict, ...]:
    return tuple(GateVerdict(name=n, verdict=v, because=f"{n} {v}") for n, v in verdicts.items())


def read(step: int, seconds: float, *, promoted: bool = False, **verdicts: Verdict) -> Rung:
    now = MORNING + timedelta(seconds=seconds)
    return ladder.read(
        run_at(step), says(**verdicts), now=now, settled_at=SETTLED_AT, promoted=promoted
    )


@pytest.mark.parametrize(
    ("step", "phase", "seconds"),
    [
        (1, Phase.PROGRESSING, 30),
        (2, Phase.WAITING, 60),
        (3, Phase.WAITING, None),
        (4, Phase.PROGRESSING, 20),
        (5, Phase.PROGRESSING, 5),
        (6, Phase.PROMOTING, 40),
        (7, Phase.PROMOTING, 5),
        (8, Phase.BAKING, 300),
    ],
)
def test_every_kind_of_step_has_its_phase_and_its_least_time(
    step: int, phase: Phase, seconds: float | None
) -> None:
    rung = read(step, 0)

    assert rung.phase is phase
    assert rung.due == (None if seconds is None else MORNING + timedelta(seconds=seconds))
    assert not rung.done


def test_a_weight_needs_all_the_gates_of_its_step() -> None:
    assert read(1, 30, errors=PASS, slow=PASS).done
    assert read(1, 30, errors=PASS, slow=UNKNOWN).missing == ("slow",)
    assert read(1, 30, errors=FAIL, slow=UNKNOWN).missing == ("errors", "slow")
    assert read(1, 30, errors=PASS).missing == ("slow",)
    assert read(1, 30).missing == ("errors", "slow")


def test_a_weight_is_not_done_a_millisecond_before_its_hold() -> None:
    assert not read(1, 29.999, errors=PASS, slow=PASS).done


def test_a_gate_of_other_steps_is_not_needed() -> None:
    assert read(5, 5, errors=PASS, slow=UNKNOWN).done


def test_a_pause_needs_no_gate() -> None:
    assert read(2, 60, errors=UNKNOWN).done


def test_a_pause_without_a_time_is_ended_by_a_person_alone() -> None:
    assert not read(3, 1e6, errors=PASS, slow=PASS).done
    assert read(3, 1, promoted=True).done


def test_a_check_needs_the_gates_it_names_and_no_others() -> None:
    assert read(4, 20, errors=UNKNOWN, slow=PASS).done
    assert read(4, 20, errors=PASS, slow=UNKNOWN).missing == ("slow",)


def test_at_100_percent_and_in_the_bake_no_data_is_no_good_news_either() -> None:
    assert read(6, 40, errors=UNKNOWN).missing == ("errors",)
    assert read(6, 40, errors=PASS).done
    assert not read(7, 40, errors=UNKNOWN).done
    assert read(8, 300).missing == ("errors",)
    assert not read(8, 300, errors=UNKNOWN).done
    assert read(8, 300, errors=PASS, slow=PASS).done


@pytest.mark.parametrize(
    ("step", "incomparable", "blind", "done"),
    [
        (1, True, False, False),
        (2, True, False, True),
        (2, False, False, False),
        (2, True, True, False),
    ],
)
def test_a_gate_that_lacks_nothing_but_a_stable_number_is_excused_at_100_percent(
    step: int, incomparable: bool, blind: bool, done: bool
) -> None:
    plan = plans.resolve(
        spec_of(
            gates=[{"name": "orders", "query": ORDERS}],
            strategy={"steps": [{"weight": 50}, {"weight": 100}], "bake": "5m"},
        )
    )
    run = run_at(step, plan=plan, weight=plans.weight_at(plan, step))
    unknown = GateVerdict(
        name="orders", verdict=UNKNOWN, because="no stable number", incomparable=incomparable
    )

    rung = ladder.read(
        run,
        (unknown,),
        now=MORNING + timedelta(seconds=60),
        settled_at=SETTLED_AT,
        promoted=False,
        blind=blind,
    )

    assert rung.done is done


HEADER = {"headers": {"x-canary": {"exact": "always"}}}
KINDS: list[dict[str, Any]] = [
    {"name": "errors", "errorRate": {"maxPercent": 1}},
    {"name": "tcp", "tcpFailures": {"maxPercent": 1}},
    {"name": "orders", "query": {"promql": "x", "min": 1}},
]
HIDDEN = plans.resolve(
    spec_of(
        gates=KINDS,
        strategy={
            "steps": [
                {"check": {"gates": ["errors", "orders"], "for": "10s"}},
                {"match": HEADER, "hold": "10s"},
                {"match": {}, "hold": "10s"},
                {"mirror": 50, "hold": "10s"},
                {"check": {"gates": ["errors", "tcp"], "for": "10s"}},
                {"weight": 50, "hold": "10s"},
            ]
        },
    )
)


@pytest.mark.parametrize(
    ("step", "asked"),
    [
        (1, ["orders"]),
        (2, ["errors", "orders"]),
        (3, ["orders"]),
        (4, ["errors", "orders"]),
        (5, ["errors"]),
        (6, ["errors", "tcp", "orders"]),
        (7, ["errors", "tcp", "orders"]),
    ],
)
def test_a_gate_is_asked_of_a_step_that_can_tell_of_it_and_again_of_the_next_one_that_does(
    step: int, asked: list[str]
) -> None:
    run = run_at(step, plan=HIDDEN, weight=plans.weight_at(HIDDEN, step))
    verdicts = says(errors=UNKNOWN, tcp=UNKNOWN, orders=UNKNOWN)
    now = MORNING + timedelta(seconds=60)

    rung = ladder.read(run, verdicts, now=now, settled_at=SETTLED_AT, promoted=False)

    assert rung.missing == tuple(asked)
    assert rung.done is not bool(asked)


def test_the_bake_waits_for_no_gate_that_was_meant_for_earlier_steps_only() -> None:
    gates = [*GATES, {"name": "early", "query": ORDERS, "steps": [1]}]
    plan = plans.resolve(spec_of(gates=gates, strategy={"steps": STEPS, "bake": "5m"}))

    rung = ladder.read(
        run_at(8, plan=plan, weight=100),
        says(errors=PASS, slow=PASS, early=UNKNOWN),
        now=MORNING + timedelta(minutes=5),
        settled_at=SETTLED_AT,
        promoted=False,
    )

    assert rung.done


def test_a_pause_with_which_the_run_ends_needs_the_gates_that_the_bake_would() -> None:
    steps = [{"weight": 100}, {"pause": {"for": "1m"}}]
    plan = plans.resolve(spec_of(gates=GATES, strategy={"steps": steps, "bake": "0s"}))
    run = run_at(2, plan=plan, weight=100)
    now = MORNING + timedelta(minutes=2)

    unseen = ladder.read(
        run, says(errors=UNKNOWN), now=now, settled_at=SETTLED_AT, promoted=False, blind=True
    )
    passed = ladder.read(
        run, says(errors=PASS, slow=PASS), now=now, settled_at=SETTLED_AT, promoted=False
    )

    assert unseen.missing == ("errors", "slow")
    assert not unseen.done
    assert passed.done


def test_a_person_ends_any_step_at_once() -> None:
    rung = read(1, 0, promoted=True, errors=UNKNOWN)

    assert rung == Rung(phase=Phase.PROGRESSING, due=MORNING, missing=(), done=True)


def test_the_deadline_is_counted_from_the_start_until_100_percent_is_reached() -> None:
    limit = MORNING + timedelta(hours=1)

    assert ladder.deadline(run_at(0)) == limit
    assert ladder.deadline(run_at(5)) == limit
    assert ladder.deadline(run_at(6)) is None
    assert ladder.deadline(run_at(8)) is None
    assert ladder.overdue(run_at(5), now=limit)
    assert not ladder.overdue(run_at(5), now=limit - timedelta(milliseconds=1))
    assert not ladder.overdue(run_at(8), now=limit)


def test_a_run_that_lost_its_100_percent_is_given_the_same_time_from_then() -> None:
    lost = MORNING + timedelta(hours=7)

    assert ladder.deadline(run_at(8, retreated=True, step_started_at=lost)) == lost + timedelta(
        hours=1
    )
    assert ladder.deadline(run_at(2, retreated=True, step_started_at=lost)) == MORNING + timedelta(
        hours=1
    )


def test_a_gate_of_the_last_step_written_is_waited_for_at_100_percent_and_in_the_bake() -> None:
    gates = [{"name": "errors", "errorRate": {"maxPercent": 1}, "steps": [1, 2]}]
    steps = [{"weight": 5}, {"weight": 50}]
    plan = plans.resolve(spec_of(gates=gates, strategy={"steps": steps, "bake": "10s"}))

    for step in (3, 4):
        rung = ladder.read(
            run_at(step, plan=plan, weight=100),
            says(errors=UNKNOWN),
            now=MORNING + timedelta(minutes=5),
            settled_at=MORNING,
            promoted=False,
        )
        assert rung.missing == ("errors",)


def test_a_check_with_which_the_run_ends_needs_the_gates_that_the_bake_would() -> None:
    steps = [{"weight": 100}, {"check": {"gates": ["slow"]}}]
    plan = plans.resolve(spec_of(gates=GATES, strategy={"steps": steps, "bake": "0s"}))

    rung = ladder.read(
        run_at(2, plan=plan, weight=100),
        says(errors=UNKNOWN, slow=PASS),
        now=MORNING + timedelta(minutes=2),
        settled_at=MORNING,
        promoted=False,
    )

    assert rung.missing == ("errors",)
    assert not rung.done
