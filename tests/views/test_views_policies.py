"""Policies as a person reads them: rows, cards, and who uses what."""

from __future__ import annotations

from typing import Any

from rollout.api.meta import Key, Manifest
from rollout.views import policies
from tests.views.samples import NOW, printed


def policy(name: str, namespace: str = "", **spec: Any) -> Manifest:
    placed = {"namespace": namespace} if namespace else {}
    return {"metadata": {"name": name, **placed}, "spec": spec}


def rollout(name: str, **spec: Any) -> Manifest:
    return {"metadata": {"name": name, "namespace": "shop"}, "spec": spec}


def test_those_of_a_namespace_stand_before_those_of_the_cluster() -> None:
    found = policies.shown([policy("a"), policy("z", "shop"), policy("b", "bank")], [])

    assert [one.policy.key for one in found] == [Key("bank", "b"), Key("shop", "z"), Key("", "a")]


def test_many_users_are_named_in_part_and_counted_for_the_rest() -> None:
    rollouts = [rollout(f"r{number}") for number in range(5)]

    (one,) = policies.shown([policy("every", appliesTo="All")], rollouts)

    assert policies.users_told(one.users) == "shop/r0, shop/r1, shop/r2 and 2 more"
    assert policies.users_told(()) == "-"


def test_a_freeze_closes_from_its_begin_to_its_end() -> None:
    freezes = [{"from": "2026-11-23T12:00:00Z", "until": "2026-11-23T12:00:01Z", "reason": "x"}]
    over = [{"until": "2026-11-23T12:00:00Z", "reason": "x"}]

    on, past, none = policies.shown(
        [
            policy("a", windows={"freeze": freezes}),
            policy("b", windows={"freeze": over}),
            policy("c", windows={"allow": [{"cron": "0 9 * * *", "for": "8h"}]}),
        ],
        [],
    )

    assert policies.closes(on, now=NOW)
    assert not policies.closes(past, now=NOW)
    assert policies.acts_now(past, now=NOW) == "-"
    assert not policies.closes(none, now=NOW)
    assert policies.acts_now(none, now=NOW) == "windows"


def test_what_cannot_be_read_closes_nothing_that_is_known_and_says_why() -> None:
    (one,) = policies.shown([policy("a", stop={"reason": 5})], [])

    assert not policies.closes(one, now=NOW)
    assert "spec.stop.reason is 5; use text" in printed(policies.card(one, now=NOW))
    assert one.for_programs()["problem"].startswith("spec.stop.reason is 5")


def test_a_policy_for_all_says_so_on_its_card_and_a_namespace_to_programs() -> None:
    (one,) = policies.shown([policy("a", "shop", appliesTo="All", description="For\n all. ")], [])

    assert printed(policies.card(one, now=NOW)).startswith(
        "shop/a  RolloutPolicy\nFor all.\n\nfor      every Rollout it reaches\nused by  nobody\n"
    )
    assert one.for_programs()["namespace"] == "shop"
    assert one.for_programs()["appliesTo"] == "All"
