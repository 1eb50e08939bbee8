"""Mistakes in a spec: one sentence that names the field and the remedy, where a person looks."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.endtoend.hands import RULES, Hands, Json, ladder, rollout, routes
from tests.endtoend.test_endtoend_kubectl import why_not

pytestmark = [
    pytest.mark.servers,
    pytest.mark.timeout(60),
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.skipif(bool(why_not()), reason=why_not() or "kubectl is there"),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """A spec, what else is in the cluster, and what a person is told.

    Attributes:
        phase: where the Rollout ends up; empty when kubectl refuses it.
    """

    spec: dict[str, Any]
    told: str
    phase: str = ""
    beside: tuple[Json, ...] = field(default=())


def steps(*found: dict[str, Any]) -> dict[str, Any]:
    return {"strategy": {"steps": list(found)}}


def istio(kind: str, name: str, **spec: Any) -> Json:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "bookinfo"},
        "spec": spec,
    }


REFUSED = {
    "a misspelt field": Mistake(
        spec={"strategy": {"stepz": []}},
        told='unknown field "spec.strategy.stepz"',
    ),
    "a weight of 101": Mistake(
        spec=steps({"weight": 101}),
        told="spec.strategy.steps[0].weight in body should be less than or equal to 100",
    ),
    "a duration that is none": Mistake(
        spec=steps({"weight": 5, "hold": "ten minutes"}),
        told='spec.strategy.steps[0].hold: Invalid value: "ten minutes"',
    ),
}
"""What the schema refuses; the last three of `TOLD` are refused by a real API server, too."""

TOLD = {
    "an unknown subset": Mistake(
        spec={"revision": "v22"},
        phase="Blocked",
        told=(
            "spec.revision: v22 is no subset of DestinationRule bookinfo/reviews, which has "
            "v1, v2, v3, v4; did you mean v2?, or correct spec.revision"
        ),
    ),
    "a host without a VirtualService": Mistake(
        spec={"host": "ratings"},
        phase="Blocked",
        told=(
            "namespace bookinfo has no VirtualService that routes host ratings; create one whose "
            "route has a destination for each subset"
        ),
        beside=(
            istio(
                "DestinationRule",
                "ratings",
                host="ratings",
                subsets=[{"name": "v1", "labels": {"version": "v1"}}],
            ),
        ),
    ),
    "two VirtualServices that route the host": Mistake(
        spec={},
        phase="Blocked",
        told=(
            "spec.traffic.virtualServices names none, and host reviews is routed by gateway, "
            "reviews; name there which of them to shift"
        ),
        beside=(istio("VirtualService", "gateway", **routes(("v1", "v2"), v1=100)),),
    ),
    "a second Rollout for the host": Mistake(
        spec={"host": "reviews.bookinfo.svc.cluster.local"},
        phase="Invalid",
        told=(
            "spec.host reviews.bookinfo.svc.cluster.local is shifted by Rollout bookinfo/first "
            "already; delete one of the two, or give this one another host"
        ),
        beside=(rollout(name="first"),),
    ),
    "a ladder that falls": Mistake(
        spec=steps({"weight": 50}, {"weight": 25}),
        phase="Invalid",
        told=(
            "spec.strategy.steps[1].weight is 25 after 50; weights must rise along the ladder: "
            "use more than 50"
        ),
    ),
    "a step of two kinds": Mistake(
        spec=steps({"weight": 5, "pause": {}}),
        phase="Invalid",
        told=(
            "spec.strategy.steps[0] has 2 kinds (weight, pause); keep one of weight and pause, "
            "or make them steps of their own"
        ),
    ),
    "a query without a bound": Mistake(
        spec={"gates": [{"name": "orders", "query": {"promql": "vector(1)"}}]},
        phase="Invalid",
        told="spec.gates[0].query has no bound; give min, max or both",
    ),
}
"""What is told in the status, in one sentence."""


@pytest.mark.parametrize("name", REFUSED)
async def test_the_schema_refuses_it_as_it_is_applied(world: Hands, name: str) -> None:
    mistake = REFUSED[name]
    path = world.file("mistake.yaml", rollout(**mistake.spec))

    told = await world.kubectl("apply", "-f", path, code=1)

    assert mistake.told in told
    assert "No resources found" in await world.kubectl("get", "rollouts")


async def test_a_misspelt_field_is_warned_of_where_it_is_not_refused(world: Hands) -> None:
    path = world.file("mistake.yaml", rollout(strategy={"stepz": []}))

    told = await world.kubectl("apply", "--validate=warn", "-f", path)

    assert 'Warning: unknown field "spec.strategy.stepz"' in told


@pytest.mark.parametrize("name", TOLD)
async def test_it_is_told_in_one_sentence_where_one_looks(world: Hands, name: str) -> None:
    mistake = TOLD[name]
    for item in mistake.beside:
        await world.stage.create(item)
    await world.controller()
    path = world.file("mistake.yaml", rollout(**{"revision": "v2", **mistake.spec}))

    async with world.watching() as diary:
        await world.kubectl("apply", "-f", path)
        await world.until(lambda s: s.get("phase") == mistake.phase)
        row = "jsonpath={.status.phase}: {.status.message}"
        shown = await world.kubectl("get", "rollout", "reviews", "-o", row)
        card = await world.rollout("get", "reviews")

    assert shown == f"{mistake.phase}: {mistake.told}"
    assert mistake.told in " ".join(card.split())
    assert diary.ladder("v2") == [0]


async def test_a_mended_mistake_is_forgotten_and_the_run_starts(world: Hands) -> None:
    await world.controller()
    await world.put_on(strategy=ladder((50, "1s")))
    await world.want("v22")
    await world.until(lambda s: s["phase"] == "Blocked")

    await world.want("v2")
    status = await world.until_over()

    assert status["stableRevision"] == "v2"
    assert "v22" not in json.dumps(status)


async def test_an_edit_that_is_wrong_changes_nothing_in_the_run_that_is_on(world: Hands) -> None:
    await world.controller()
    await world.put_on(strategy=ladder((50, "2s")))
    await world.want("v2")
    await world.until_step(1)

    path = world.file("mistake.yaml", rollout("v2", **steps({"weight": 50}, {"weight": 25})))
    await world.kubectl("apply", "-f", path)
    told = await world.until(lambda s: "edited" in s["message"])
    status = await world.until(lambda s: s["phase"] in {"Stable", "Invalid"})

    assert "(the edited spec is wrong and changes nothing in this run: spec" in told["message"]
    assert status["history"][0]["outcome"] == "Promoted"
    assert await world.weights() == {"v2": 100}


async def test_the_subset_of_a_running_canary_is_missed_and_told(world: Hands) -> None:
    await world.controller()
    await world.put_on(strategy=ladder((50, "30s")))
    await world.want("v2")
    await world.until_step(1)
    rule = f"{RULES}/reviews"
    whole = (await world.stage.client.call("GET", rule))["spec"]["subsets"]

    await world.patch(rule, {"spec": {"subsets": [s for s in whole if s["name"] != "v2"]}})
    status = await world.until(lambda s: s["phase"] == "Blocked")
    await world.settled(0, "v2")
    await world.patch(rule, {"spec": {"subsets": whole}})
    await world.settled(50, "v2")

    assert "v2 is no subset of DestinationRule bookinfo/reviews; add it there" in status["message"]
