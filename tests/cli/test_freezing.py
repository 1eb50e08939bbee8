"""What ``rollout freeze`` and ``rollout thaw`` write, what they say, and what they refuse."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rollout.api import reading
from rollout.api.meta import CLUSTER_ROLLOUT_POLICY, ROLLOUT_POLICY, Key, Manifest
from rollout.api.phase import Phase
from rollout.api.status import Waiting
from rollout.api.window import Closed
from rollout.base.errors import Denied
from tests.cli.desk import Desk
from tests.views.samples import NOW, PROGRESSING, STABLE, manifest

NEAR, FAR = Key("shop", "freeze"), Key("", "freeze")


@pytest.fixture
def desk() -> Desk:
    desk = Desk()
    desk.put(manifest(PROGRESSING))
    return desk


def spec_of(desk: Desk, key: Key = NEAR) -> dict[str, Any]:
    kind = ROLLOUT_POLICY if key.namespace else CLUSTER_ROLLOUT_POLICY
    found = desk.cluster.peek(kind, key)
    reading.read_policy(found)
    spec: dict[str, Any] = found["spec"]
    return spec


def there_is(desk: Desk, **spec: Any) -> Manifest:
    return desk.cluster.put(
        ROLLOUT_POLICY, {"metadata": {"name": "freeze", "namespace": "shop"}, "spec": spec}
    )


def test_a_freeze_is_a_policy_of_the_namespace_and_says_what_it_stops(desk: Desk) -> None:
    result = desk.type("freeze", "--until", "8h", "--reason", "audit")

    assert result.stdout == (
        "nothing starts or increases in namespace shop until 2026-11-23 20:00 UTC: audit\n"
        "these runs stay where they are: shop/reviews at 25 %\n"
        "gates go on judging; abort and rollback work as ever\n"
        "end it with: rollout thaw -n shop\n"
    )
    (freeze,) = spec_of(desk)["windows"]["freeze"]
    assert freeze == {
        "from": "2026-11-23T12:00:00.000Z",
        "until": "2026-11-23T20:00:00.000Z",
        "reason": "audit",
    }


def test_without_an_end_it_is_a_stop_of_the_cluster_if_that_is_asked(desk: Desk) -> None:
    result = desk.type("freeze", "--cluster", "--reason", "incident 4711")

    assert "in the cluster until somebody thaws it: incident 4711\n" in result.stdout
    assert "end it with: rollout thaw --cluster\n" in result.stdout
    assert spec_of(desk, FAR)["stop"] == {"reason": "incident 4711"}


def test_a_time_with_a_zone_is_an_end_too(desk: Desk) -> None:
    result = desk.type("freeze", "--until", "2027-01-02T01:00:00+01:00", "--reason", "year end")

    assert "until 2027-01-02 00:00 UTC: year end\n" in result.stdout


@pytest.mark.parametrize(
    ("until", "told"),
    [
        ("monday", "--until is 'monday'; use a time with a zone such as"),
        ("2027-01-02T01:00:00", "--until is '2027-01-02T01:00:00'; use a time with a zone"),
        ("2026-11-01T00:00:00Z", "which has passed; use a later time"),
    ],
)
def test_an_end_that_cannot_be_is_refused_with_a_remedy(desk: Desk, until: str, told: str) -> None:
    result = desk.type("freeze", "--until", until, "--reason", "audit")

    assert result.exit_code == 1
    assert told in result.stderr
    assert desk.cluster.everything(ROLLOUT_POLICY) == {}


def test_a_freeze_without_a_reason_is_wrong_usage(desk: Desk) -> None:
    assert desk.type("freeze", "--until", "8h").exit_code == 2


def test_a_dry_run_tells_all_and_writes_nothing(desk: Desk) -> None:
    result = desk.type("freeze", "--reason", "audit", "--dry-run")

    assert result.stdout.startswith("dry run, nothing is written: nothing starts or increases")
    assert desk.cluster.everything(ROLLOUT_POLICY) == {}


def test_for_programs_it_prints_the_policy_also_of_a_dry_run(desk: Desk) -> None:
    result = desk.type("freeze", "--reason", "audit", "--dry-run", "-o", "json")

    document = json.loads(result.stdout)
    assert (document["kind"], document["metadata"]["name"]) == ("RolloutPolicy", "freeze")
    assert document["spec"]["stop"] == {"reason": "audit"}


def test_a_second_freeze_takes_the_place_of_the_first_and_leaves_what_is_to_come(
    desk: Desk,
) -> None:
    coming = {"from": "2026-12-20T00:00:00Z", "until": "2027-01-02T00:00:00Z", "reason": "year end"}
    there_is(
        desk, stop={"reason": "incident"}, windows={"freeze": [coming]}, limits={"runsAtOnce": 3}
    )

    desk.type("freeze", "--until", "1h", "--reason", "audit")

    spec = spec_of(desk)
    assert [freeze["reason"] for freeze in spec["windows"]["freeze"]] == ["audit", "year end"]
    assert "stop" not in spec
    assert spec["limits"] == {"runsAtOnce": 3}


def test_who_waits_is_told_and_nobody_is_told_of_as_nobody(desk: Desk) -> None:
    waiting = STABLE.model_copy(update={"waiting": Waiting(since=NOW), "phase": Phase.PENDING})
    desk.put(manifest(waiting))
    assert "these do not start: shop/reviews to v3\n" in (
        desk.type("freeze", "--reason", "audit").stdout
    )

    desk.put(manifest(STABLE))
    assert "no run is in progress or about to start\n" in (
        desk.type("freeze", "--reason", "audit").stdout
    )


def test_thaw_removes_a_policy_that_says_nothing_else(desk: Desk) -> None:
    desk.type("freeze", "--reason", "audit")

    result = desk.type("thaw")

    assert result.stdout == "runs in namespace shop go on where they stopped\n"
    assert desk.cluster.everything(ROLLOUT_POLICY) == {}


def test_thaw_leaves_what_is_to_come_and_whatever_else_the_policy_says(desk: Desk) -> None:
    coming = {"from": "2026-12-20T00:00:00Z", "until": "2027-01-02T00:00:00Z", "reason": "year end"}
    on = {"until": "2026-11-24T00:00:00Z", "reason": "audit"}
    allow = [{"cron": "0 9 * * mon-fri", "for": "8h"}]
    there_is(desk, windows={"freeze": [on, coming], "allow": allow})

    desk.type("thaw")

    assert spec_of(desk) == {"windows": {"freeze": [coming], "allow": allow}}


def test_thaw_says_who_else_freezes(desk: Desk) -> None:
    desk.cluster.put(
        CLUSTER_ROLLOUT_POLICY, {"metadata": {"name": "audit"}, "spec": {"stop": {"reason": "x"}}}
    )
    refused = desk.type("thaw")
    desk.type("freeze", "--reason", "audit")

    result = desk.type("thaw")

    assert refused.exit_code == 1
    assert refused.stderr == (
        "rollout: RolloutPolicy shop/freeze: no freeze of namespace shop is on; "
        "what is frozen is so by ClusterRolloutPolicy audit; `rollout policies` shows all\n"
    )
    assert result.stdout.endswith("still frozen by ClusterRolloutPolicy audit\n")


def test_a_dry_run_of_thaw_writes_nothing(desk: Desk) -> None:
    desk.type("freeze", "--reason", "audit")

    result = desk.type("thaw", "--dry-run")

    assert result.stdout.startswith("dry run, nothing is written: runs in namespace shop go on")
    assert spec_of(desk)["stop"] == {"reason": "audit"}


@pytest.mark.parametrize(
    ("words", "verb"), [(("freeze", "--reason", "x"), "create"), (("thaw",), "delete")]
)
def test_who_may_not_is_told_which_role_would_do(
    desk: Desk, words: tuple[str, ...], verb: str
) -> None:
    if words == ("thaw",):
        desk.type("freeze", "--reason", "audit")
    denied = Denied("policies", status_code=403, message="alice may not")
    desk.cluster.faults.refuse(denied, verb=verb, kind=ROLLOUT_POLICY)

    result = desk.type(*words)

    assert result.exit_code == 1
    assert result.stderr == (
        "rollout: RolloutPolicy shop/freeze: you may not write it: alice may not; "
        "have somebody bind you to the ClusterRole rollout-policy-editor for namespace shop\n"
    )


def test_get_and_why_tell_what_is_closed_and_until_when(desk: Desk) -> None:
    closed = Closed(
        reason="Frozen",
        because="closed until Sat 2027-01-02 01:00 Europe/Berlin (freeze: year end)",
        until=NOW.replace(year=2027, month=1, day=2, hour=0),
    )
    desk.put(manifest(PROGRESSING.model_copy(update={"closed": closed, "phase": Phase.WAITING})))

    card, why = desk.type("get", "reviews").stdout, desk.type("why", "reviews").stdout

    assert "no increase before 2027-01-02 00:00 UTC" in why
    assert "(freeze: year end); that is 2027-01-02 00:00 UTC" in " ".join(card.split())


def test_without_the_crds_the_remedy_is_told(desk: Desk) -> None:
    desk.cluster.uninstall(ROLLOUT_POLICY)

    result = desk.type("freeze", "--reason", "audit")

    assert result.stderr == (
        "rollout: the CRD of RolloutPolicy does not exist; "
        "install it with `rollout crds | kubectl apply -f -`\n"
    )


def test_an_undo_that_may_not_start_says_so_and_waits_for_nothing(desk: Desk) -> None:
    desk.put(manifest(STABLE))
    closed = Closed(reason="Stopped", because="stopped by RolloutPolicy freeze (audit)")
    waiting = STABLE.model_copy(update={"closed": closed, "phase": Phase.PENDING})
    desk.later = [lambda: desk.status(waiting)]

    result = desk.type("undo", "reviews")

    assert result.exit_code == 1
    assert result.stderr == (
        "rollout: shop/reviews: v1 is wanted, and does not start: stopped by RolloutPolicy freeze"
        " (audit); it goes by the ladder when it may\n"
    )
