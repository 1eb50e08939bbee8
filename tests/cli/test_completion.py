"""What the shell offers after Tab."""

from __future__ import annotations

import pytest

from rollout.api.meta import DESTINATION_RULE
from tests.cli.desk import Desk, complete
from tests.views.samples import PROGRESSING, STABLE, manifest


@pytest.fixture
def desk() -> Desk:
    desk = Desk()
    desk.put(manifest(PROGRESSING))
    desk.put(manifest(STABLE, name="ratings"))
    for name, host, subsets in (
        ("reviews", "reviews", ("v2", "v3", "v4", "w1")),
        ("ratings", "ratings.shop.svc.cluster.local", ("v9",)),
    ):
        spec = {"host": host, "subsets": [{"name": subset} for subset in subsets]}
        desk.cluster.put(
            DESTINATION_RULE, {"metadata": {"namespace": "shop", "name": name}, "spec": spec}
        )
    return desk


def test_names_of_rollouts_are_offered(desk: Desk) -> None:
    assert complete(desk, "get", "re") == ["reviews"]
    assert complete(desk, "approve", "") == ["ratings", "reviews"]


def test_subsets_of_the_host_are_offered_for_set_but_the_wanted_one(desk: Desk) -> None:
    assert complete(desk, "set", "reviews", "v") == ["v2", "v4"]


def test_runs_on_record_are_offered_the_newest_first(desk: Desk) -> None:
    assert complete(desk, "abort", "reviews", "--run", "") == ["3", "2", "1"]


def test_phases_are_offered_for_the_filter_of_a_list(desk: Desk) -> None:
    assert complete(desk, "list", "--phase", "Roll") == ["RollingBack", "RolledBack"]


def test_where_anything_is_wrong_nothing_is_offered(desk: Desk) -> None:
    desk.cluster.faults.refuse(times=99)

    assert complete(desk, "get", "re") == []
    assert complete(desk, "set", "reviews", "v") == []
