"""What is left of a status that somebody scribbled on."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.api.phase import Outcome, Phase
from rollout.api.rollout import Plan
from rollout.api.salvage import RUN_FIELDS_TO_SPARE, read_status
from rollout.api.status import Ending, RolloutStatus, Run
from tests.world.engine_world import spec_of

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def run(**fields: Any) -> Run:
    spec = spec_of()
    plan = Plan(host=spec.host, strategy=spec.strategy, gates=spec.gates, judge=spec.judge)
    return Run.model_validate(
        {
            "id": "7",
            "canary_revision": "v2",
            "stable_revision": "v1",
            "step": 1,
            "weight": 5,
            "started_at": NOW,
            "step_started_at": NOW,
            "plan": plan,
            **fields,
        }
    )


def over(outcome: Outcome) -> Run:
    return run(ended_at=NOW, ending=Ending(outcome=outcome, because="so", decided_at=NOW))


def written(**fields: Any) -> dict[str, Any]:
    """A status as it stands in the cluster."""
    status = RolloutStatus(phase=Phase.PROGRESSING, stable_revision="v1", **fields)
    return status.model_dump(mode="json", by_alias=True, exclude_none=True)


def test_a_status_that_can_be_read_is_read_and_nothing_is_said() -> None:
    found = read_status({"status": written(run=run())})

    assert found.status.run == run()
    assert found.problem == ""
    assert found.lost == {}


def test_an_unknown_phase_costs_the_phase_and_nothing_else() -> None:
    found = read_status({"status": {**written(run=run()), "phase": "Dancing"}})

    assert found.status.run == run()
    assert found.status.stable_revision == "v1"
    assert found.problem.startswith("status.phase is 'Dancing'")
    assert found.lost == {}


@pytest.mark.parametrize("field", sorted(RUN_FIELDS_TO_SPARE))
def test_a_run_goes_on_without_what_it_can_do_without(field: str) -> None:
    status = written(run=run())
    status["run"][field] = "nonsense"

    found = read_status({"status": status})

    assert found.status.run == run()
    assert found.problem.startswith(f"status.run.{field}")
    assert found.lost == {}


@pytest.mark.parametrize("field", ["step", "weight", "paused", "ending", "plan", "canaryRevision"])
def test_a_run_without_what_decides_about_traffic_is_lost_and_stays_as_it_stands(
    field: str,
) -> None:
    status = written(run=run())
    status["run"][field] = ["nonsense"]

    found = read_status({"status": status})

    assert found.status.run is None
    assert found.status.stable_revision == "v1"
    assert found.problem.startswith(f"status.run.{field}")
    assert found.lost == {"run": status["run"]}


@pytest.mark.parametrize(
    ("last", "stable", "rejected"),
    [
        (run(), "v1", ""),
        (over(Outcome.PROMOTED), "v2", ""),
        (over(Outcome.ROLLED_BACK), "v1", "v2"),
        (over(Outcome.ABORTED), "v1", "v2"),
        (over(Outcome.SUPERSEDED), "v1", ""),
    ],
    ids=["on", "promoted", "rolled back", "aborted", "superseded"],
)
def test_the_last_run_tells_what_is_stable_and_what_is_rejected(
    last: Run, stable: str, rejected: str
) -> None:
    status = {**written(run=last), "stableRevision": 1, "rejectedRevision": 2}

    found = read_status({"status": status})

    assert found.status.stable_revision == stable
    assert found.status.rejected_revision == rejected
    assert found.lost == {}


def test_without_a_run_a_rejected_revision_that_cannot_be_read_is_lost() -> None:
    found = read_status({"status": {**written(), "rejectedRevision": 2}})

    assert found.lost == {"rejectedRevision": 2}
    assert found.problem.startswith("status.rejectedRevision")


@pytest.mark.parametrize("status", ["Dancing", 7, ["Stable"]])
def test_a_status_that_is_no_map_is_as_one_that_was_removed(status: object) -> None:
    found = read_status({"status": status})

    assert found.status == RolloutStatus()
    assert found.problem.startswith("status")
    assert found.lost == {}


@given(
    st.dictionaries(
        st.sampled_from([*written(run=run()), "retirable", "stableSince", "unheardOf"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
            max_leaves=5,
        ),
    )
)
def test_whatever_stands_there_something_is_made_of_it(scribble: dict[str, object]) -> None:
    found = read_status({"status": {**written(run=run()), **scribble}})

    document = found.status.model_dump(mode="json", by_alias=True, exclude_none=True)
    assert RolloutStatus.model_validate(document) == found.status
    assert bool(found.problem) or not found.lost
