"""Which subsets callers have, and what they are sent to."""

from __future__ import annotations

from typing import Any

from rollout.routes import callers, destinationrule
from rollout.routes.callers import Calls
from rollout.routes.fronts import Front
from tests.routes.around import NEW, OLD, front, told
from tests.routes.manifests import HOST, NAMESPACE, destination_rule, subset

V1, V2 = subset("v1"), subset("v2")


def rule(*subsets: dict[str, Any], namespace: str = NAMESPACE, **spec: Any) -> dict[str, Any]:
    created, name = spec.pop("created", OLD), spec.pop("name", "reviews")
    found = destination_rule(name, created, subsets=list(subsets), **{"host": HOST, **spec})
    found["metadata"]["namespace"] = namespace
    return found


OURS = rule(V1, V2)


def look(*rules: dict[str, Any], door: Front | None = None, canary: str = "v2") -> list[str]:
    calls = Calls(
        host=HOST,
        where=NAMESPACE,
        rules=tuple(destinationrule.read(each, namespace=NAMESPACE) for each in rules),
        doors=(door or front(),),
        needed=("v1", canary),
    )
    return told(callers.look(calls))


def reasons(found: list[str]) -> list[str]:
    return [line.partition(": ")[0] for line in found]


def test_a_callers_own_rule_without_a_subset_of_ours_is_a_problem_peers_164() -> None:
    """Peers 164: a DestinationRule in a caller's namespace hides the service's and its subsets."""
    message = (
        "! CallersWithoutSubset: DestinationRule web/mine: spec.subsets lacks v2, and it hides "
        "DestinationRule bookinfo/reviews from callers in namespace web, who would be answered "
        "503; add the subset to it, or remove the rule"
    )
    assert look(OURS, rule(V1, namespace="web", name="mine")) == [message]
    assert "lacks v1 and v2" in look(OURS, rule(namespace="web"))[0]


def test_a_callers_own_rules_with_all_subsets_are_nothing() -> None:
    parts = [rule(V1, namespace="web", name="a"), rule(V2, namespace="web", name="b", created=NEW)]

    assert look(OURS, rule(V1, V2, namespace="web")) == []
    assert look(OURS, *parts) == []


def test_a_rule_that_its_own_callers_do_not_see_hides_nothing() -> None:
    assert look(OURS, rule(V1, namespace="web", exportTo=["shop"])) == []


def test_a_rule_of_callers_whom_our_routes_do_not_reach_is_nothing() -> None:
    assert look(OURS, rule(V1, namespace="web"), door=front(exportTo=["."])) == []


def test_the_rules_of_the_root_namespace_come_last_unless_they_are_for_itself() -> None:
    root = callers.ROOT_NAMESPACE

    assert look(OURS, rule(V1, namespace=root)) == []
    assert reasons(look(OURS, rule(V1, namespace=root, exportTo=["."]))) == [
        "! CallersWithoutSubset"
    ]


def test_a_rule_for_many_hosts_is_a_note_since_nobody_may_call_from_there() -> None:
    wild = rule(namespace="web", host="*.local", trafficPolicy={"tls": {"mode": "DISABLE"}})

    found = look(OURS, wild)

    assert reasons(found) == ["CallersWithoutSubset"]
    assert "from callers in namespace web, who are answered 503 for it" in found[0]
    assert look(OURS, rule(V1, V2, namespace="web"), wild) == []


def test_a_rule_for_some_workloads_of_a_namespace_is_a_note() -> None:
    some = rule(V1, namespace="web", workloadSelector={"matchLabels": {"app": "a"}})

    found = look(OURS, some)

    assert reasons(found) == ["CallersWithoutSubset"]
    assert "callers in namespace web that it selects" in found[0]


def test_names_with_an_asterisk_are_those_of_every_domain_above() -> None:
    assert callers.wildcards("a.b.local") == ("*", "*.b.local", "*.local")


def test_a_canary_exported_less_than_the_stable_subset_is_a_problem_peers_176() -> None:
    """Peers 176: exportTo of the rules and of the VirtualService differ, so subsets are missing."""
    canary = rule(V2, name="canary", created=NEW, exportTo=["."])

    found = look(rule(V1), canary)

    assert found[0] == (
        "! CallersWithoutSubset: DestinationRule bookinfo/canary: spec.exportTo keeps subset v2 "
        "from callers in other namespaces, whom VirtualService bookinfo/reviews sends there and "
        "who would be answered 503; write one exportTo in all DestinationRules of the host, that "
        "of the VirtualService"
    )


def test_rules_that_are_exported_differently_are_not_merged_and_the_last_one_counts() -> None:
    star = rule(V2, name="star", created=NEW, exportTo=["*"])
    wider = rule(V2, name="wider", created=NEW, exportTo=[".", "web"])

    assert "keeps subset v1 from callers in namespace bookinfo" in look(rule(V1), star)[1]
    assert look(rule(V1, exportTo=["."]), wider, door=front(exportTo=["."])) == []
    assert look(rule(V1), rule(V2, name="same", created=NEW)) == []


def test_rules_exported_less_than_the_routes_are_a_note_where_nobody_can_call_today() -> None:
    found = look(rule(V1, V2, exportTo=["."]))

    assert reasons(found) == ["CallersWithoutSubset"]
    assert "keeps subset v1 and v2 from callers in other namespaces" in found[0]
    assert look(rule(V1, V2, exportTo=["."]), door=front(exportTo=["."])) == []


def test_rules_that_miss_a_namespace_which_the_routes_name_are_a_problem() -> None:
    found = look(rule(V1, V2, exportTo=["."]), door=front(exportTo=[".", "web"]))

    assert reasons(found) == ["! CallersWithoutSubset"]
    assert "callers in namespace web, whom" in found[0]


def test_a_subset_that_is_nowhere_is_told_by_others() -> None:
    assert look(rule(V1), rule(V1, namespace="web"), canary="v9") == []
    assert look() == []


def test_nobody_is_sent_anywhere_without_a_route_of_ours() -> None:
    read = destinationrule.read(rule(V1, namespace="web"), namespace=NAMESPACE)
    calls = Calls(host=HOST, where=NAMESPACE, rules=(read,), doors=(), needed=("v1", "v2"))

    assert told(callers.look(calls)) == []
