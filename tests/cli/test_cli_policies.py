"""What ``rollout policies`` shows of each: what it is for, who uses it, what it does now."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from rollout.api.meta import CLUSTER_ROLLOUT_POLICY, ROLLOUT_POLICY, Manifest
from rollout.base.errors import Denied
from tests.cli.desk import Desk
from tests.views.samples import PROGRESSING, STABLE, manifest

CAREFUL: dict[str, Any] = {
    "description": "For services that everybody depends on.",
    "defaults": {"onFailure": "Rollback"},
}


def policy(name: str, namespace: str = "", **spec: Any) -> Manifest:
    placed = {"namespace": namespace} if namespace else {}
    return {"metadata": {"name": name, **placed}, "spec": spec}


def naming(kind: str, policy_name: str, **metadata: Any) -> Manifest:
    found = manifest(STABLE, **metadata)
    found["spec"]["policyRef"] = {"kind": kind, "name": policy_name}
    return found


@pytest.fixture
def desk() -> Desk:
    desk = Desk()
    desk.put(naming("ClusterRolloutPolicy", "careful"))
    desk.put(naming("RolloutPolicy", "quick", name="ratings"))
    desk.cluster.put(CLUSTER_ROLLOUT_POLICY, policy("careful", **CAREFUL))
    desk.cluster.put(ROLLOUT_POLICY, policy("quick", "shop", limits={"runsAtOnce": 2}))
    desk.cluster.put(ROLLOUT_POLICY, policy("quick", "bank", stop={"reason": "audit"}))
    return desk


def test_each_policy_has_a_row_and_its_sentence_below(desk: Desk) -> None:
    result = desk.type("policies")

    assert result.stdout == (
        "NAME        KIND                  FOR    USED BY       NOW\n"
        "shop/quick  RolloutPolicy         named  shop/ratings  2 runs at once\n"
        "careful     ClusterRolloutPolicy  named  shop/reviews  -\n"
        "    For services that everybody depends on.\n"
    )


def test_of_all_namespaces_those_that_stop_something_say_so(desk: Desk) -> None:
    result = desk.type("policies", "-A")

    (bank,) = [line for line in result.stdout.splitlines() if line.startswith("bank/quick")]
    assert bank.split() == ["bank/quick", "RolloutPolicy", "named", "-", "stopped"]


def test_a_policy_for_all_is_used_by_all_it_reaches(desk: Desk) -> None:
    desk.cluster.put(CLUSTER_ROLLOUT_POLICY, policy("every", appliesTo="All"))

    result = desk.type("policies", "-o", "json")

    found = {one["name"]: one["rollouts"] for one in json.loads(result.stdout)}
    assert found == {
        "quick": ["shop/ratings"],
        "careful": ["shop/reviews"],
        "every": ["shop/ratings", "shop/reviews"],
    }


def test_freezes_that_are_on_and_to_come_are_told_with_their_times(desk: Desk) -> None:
    freezes = [
        {"until": "2026-11-24T00:00:00Z", "reason": "now"},
        {"from": "2026-12-20T00:00:00Z", "until": "2027-01-02T00:00:00Z", "reason": "later"},
        {"until": "2026-11-01T00:00:00Z", "reason": "over"},
    ]
    desk.cluster.put(CLUSTER_ROLLOUT_POLICY, policy("careful", windows={"freeze": freezes}))

    result = desk.type("policies")

    assert "frozen until 2026-11-24 00:00 UTC, freeze from 2026-12-20 00:00 UTC\n" in result.stdout


def test_one_policy_is_shown_with_all_it_says(desk: Desk) -> None:
    result = desk.type("policies", "careful")

    assert result.stdout == (
        "careful  ClusterRolloutPolicy\n"
        "For services that everybody depends on.\n"
        "\n"
        "for      Rollouts that name it\n"
        "used by  shop/reviews\n"
        "now      -\n"
        "\n"
        "defaults:\n"
        "  onFailure: Rollback\n"
    )


def test_one_policy_for_programs_is_the_object(desk: Desk) -> None:
    result = desk.type("policies", "quick", "-o", "yaml")

    document = yaml.safe_load(result.stdout)
    assert (document["kind"], document["metadata"]["namespace"]) == ("RolloutPolicy", "shop")


def test_a_policy_that_is_not_there_is_answered_with_the_nearest(desk: Desk) -> None:
    result = desk.type("policies", "carefull")

    assert result.exit_code == 1
    assert result.stderr == "rollout: the policy carefull does not exist; did you mean careful?\n"


def test_a_policy_that_cannot_be_read_says_why(desk: Desk) -> None:
    desk.cluster.put(CLUSTER_ROLLOUT_POLICY, policy("careful", limits={"runsAtOnce": 0}))

    result = desk.type("policies")

    assert "cannot be read\n" in result.stdout
    assert "spec.limits.runsAtOnce is 0; use at least 1." in result.stdout


def test_who_may_not_read_those_of_the_cluster_sees_the_others(desk: Desk) -> None:
    denied = Denied("policies", status_code=403, message="clusterrolloutpolicies is forbidden")
    desk.cluster.faults.refuse(denied, verb="list", kind=CLUSTER_ROLLOUT_POLICY)

    result = desk.type("policies")

    assert "shop/quick" in result.stdout
    assert result.stderr.startswith("those of the cluster are not shown: clusterrolloutpolicies")


def test_without_the_crds_the_remedy_is_told(desk: Desk) -> None:
    desk.cluster.uninstall(ROLLOUT_POLICY)

    result = desk.type("policies")

    assert result.stderr == (
        "rollout: the CRD of RolloutPolicy does not exist; "
        "install it with `rollout crds | kubectl apply -f -`\n"
    )


def test_where_there_is_none_that_is_said_and_is_no_error() -> None:
    desk = Desk()

    result = desk.type("policies")

    assert (result.exit_code, result.stderr) == (0, "there is no policy for namespace shop\n")


def test_get_and_why_name_the_policy_of_the_run(desk: Desk) -> None:
    run = PROGRESSING.run
    assert run is not None
    run = run.model_copy(update={"policies": ("ClusterRolloutPolicy careful",)})
    desk.put(manifest(PROGRESSING.model_copy(update={"run": run})))

    assert "policy    ClusterRolloutPolicy careful" in desk.type("get", "reviews").stdout
    assert "ruled by ClusterRolloutPolicy careful" in desk.type("why", "reviews").stdout
