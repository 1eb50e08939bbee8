"""A gray release by hand, with kubectl alone."""

from __future__ import annotations

import asyncio
import functools
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.endtoend.hands import ROUTES, Hands, ladder, rollout, weights_in

EXAMPLES = Path(__file__).parents[2] / "manifests" / "examples"

OLDEST_MINOR = 27


@functools.cache
def why_not() -> str:
    """Why kubectl cannot be used; empty when it can."""
    found = shutil.which("kubectl")
    if found is None:
        return "kubectl is not on the PATH"
    words = [found, "version", "--client", "-o", "json"]
    said = subprocess.run(words, capture_output=True, check=False, timeout=30)
    if said.returncode != 0:
        return "kubectl version --client fails"
    text = json.loads(said.stdout)["clientVersion"]["minor"]
    minor = int("".join(filter(str.isdigit, text)) or 0)
    return "" if minor >= OLDEST_MINOR else f"kubectl is older than 1.{OLDEST_MINOR}"


pytestmark = [
    pytest.mark.servers,
    pytest.mark.timeout(90),
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.skipif(bool(why_not()), reason=why_not() or "kubectl is there"),
]


async def rows(world: Hands, *words: str) -> list[dict[str, str]]:
    """A table of kubectl's as rows by column; columns begin where their titles do."""
    lines = (await world.kubectl(*words)).splitlines()
    found = list(re.finditer(r"\S+", lines[0]))
    titles, starts = [each[0] for each in found], [each.start() for each in found]
    ends = [*starts[1:], None]
    return [
        {t: line[a:b].strip() for t, a, b in zip(titles, starts, ends, strict=True)}
        for line in lines[1:]
    ]


async def test_the_examples_can_be_applied_and_say_what_they_need(world: Hands) -> None:
    for namespace in ("shop", "istio-io-tcp-traffic-shifting"):
        await world.kubectl("create", "namespace", namespace)
    await world.controller()

    applied = await world.kubectl("apply", "-f", str(EXAMPLES))
    await world.until(lambda s: s.get("run", {}).get("weight") == 5)
    found = await rows(world, "get", "rollouts", "-A")

    assert "rollout.rollout.dev/reviews created" in applied
    assert "rolloutaction.rollout.dev/reviews-abort-14 created" in applied
    assert {row["NAME"]: row["PHASE"] for row in found} == {
        "reviews": "Progressing",
        "catalog": "Blocked",
        "checkout": "Blocked",
        "tcp-echo": "Blocked",
        "payments": "Blocked",
    }
    told = {row["NAME"]: row["MESSAGE"] for row in found}
    assert told["reviews"].startswith("5 % of reviews goes to v2 (step 1 of 4); 25 % at ")
    assert "DestinationRule" in told["checkout"]
    assert "tcp-echo-destination" in told["tcp-echo"]
    answered = await rows(world, "get", "rolloutactions", "-o", "wide")
    assert answered[0]["OUTCOME"] == "Ignored"
    assert "no run" in answered[0]["MESSAGE"] or "run 14" in answered[0]["MESSAGE"]
    for namespace in ("shop", "istio-io-tcp-traffic-shifting"):
        await world.kubectl("delete", "rollouts", "--all", "-n", namespace, "--timeout=10s")
        await world.kubectl("delete", "namespace", namespace, "--wait=false")


async def test_get_shows_where_a_rollout_is_under_all_its_names(world: Hands) -> None:
    await world.controller()
    await world.put_on(strategy=ladder((50, "60s")))
    await world.want("v2")
    await world.until_step(1)

    (row,) = await rows(world, "get", "rollouts", "-o", "wide")
    short = await world.kubectl("get", "ro", "-o", "name")
    mesh = await world.kubectl("get", "mesh", "-o", "name")
    istio = await world.kubectl("get", "vs,dr", "-o", "name")

    assert row["NAME"] == "reviews"
    assert row["PHASE"] == "Progressing"
    assert row["REVISION"] == "v2"
    assert row["WEIGHT"] == "50"
    assert row["MESSAGE"].startswith("50 % of reviews goes to v2 (step 1 of 2)")
    assert (row["STABLE"], row["STEP"], row["OF"], row["RUN"]) == ("v1", "1", "2", "1")
    assert row["AGE"].endswith("s")
    assert short.split() == ["rollout.rollout.dev/reviews"]
    assert "rollout.rollout.dev/reviews" in mesh.split()
    assert set(istio.split()) == {
        "virtualservice.networking.istio.io/reviews",
        "destinationrule.networking.istio.io/reviews",
    }


async def test_explain_tells_every_field_in_a_sentence(world: Hands) -> None:
    gates = await world.kubectl("explain", "rollout.spec.gates")
    steps = await world.kubectl("explain", "rollout.spec.strategy.steps")
    verb = await world.kubectl("explain", "rolloutaction.spec.verb")

    assert "Judge by failed requests." in gates
    for field in ("errorRate", "latency", "tcpFailures", "query", "steps"):
        assert field in gates
    assert "Percent of the traffic that goes to the canary" in steps
    for field in ("weight", "hold", "pause", "check"):
        assert field in steps
    assert "Abort" in verb


async def test_a_patch_starts_a_run_and_get_w_shows_it_going_up(world: Hands) -> None:
    await world.controller()
    await world.put_on(strategy=ladder((10, "1s"), (50, "1s")))
    columns = "-o=custom-columns=PHASE:.status.phase,WEIGHT:.status.run.weight"
    watch = await world.start("kubectl", "get", "ro", "reviews", "-w", "--no-headers", columns)
    assert watch.stdout is not None
    before = await watch.stdout.readline()

    patch = json.dumps({"spec": {"revision": "v2"}})
    said = await world.kubectl("patch", "rollout", "reviews", "--type=merge", "-p", patch)
    wait = ("wait", "rollout/reviews", "--timeout=40s")
    await world.kubectl(*wait, "--for=jsonpath={.status.stableRevision}=v2")
    await world.kubectl(*wait, "--for=jsonpath={.status.phase}=Stable")
    await world.kubectl(*wait, "--for=condition=Ready")
    watch.terminate()
    shown, _ = await watch.communicate()

    assert said.strip() == "rollout.rollout.dev/reviews patched"
    seen = list(
        dict.fromkeys(tuple(line.split()) for line in (before + shown).decode().splitlines())
    )
    assert seen == [
        ("Stable", "<none>"),
        ("Preparing", "0"),
        ("Progressing", "10"),
        ("Progressing", "50"),
        ("Promoting", "100"),
        ("Stable", "100"),
    ]


async def test_describe_and_events_tell_the_story_of_a_run(world: Hands) -> None:
    await world.controller()
    await world.put_on(strategy=ladder((10, "1s"), (50, "1s")))
    await world.want("v2")
    await world.until_over()
    await asyncio.sleep(0.3)

    described = await world.kubectl("describe", "rollout", "reviews")
    events = await rows(world, "get", "events", "--sort-by=.metadata.resourceVersion")

    told = described[described.index("\nEvents:") :]
    for reason in ("Started", "StepBegan", "Promoted"):
        assert reason in told
    assert "10 % of reviews goes to v2" in told
    began = [row["MESSAGE"] for row in events if row["REASON"] == "StepBegan"]
    assert [message.split(" % ")[0] for message in began] == ["10", "50", "100"]
    assert {row["OBJECT"] for row in events} == {"rollout/reviews"}
    assert {row["TYPE"] for row in events} == {"Normal"}


async def test_delete_in_mid_run_returns_the_traffic_and_then_lets_go(world: Hands) -> None:
    await world.controller()
    await world.put_on(strategy=ladder((50, "60s")))
    await world.want("v2")
    await world.until_step(1)
    before = await world.traffic()

    async with world.watching() as diary:
        said = await world.kubectl("delete", "rollout", "reviews", "--timeout=20s")
        await asyncio.sleep(0.2)

    assert 'rollout.rollout.dev "reviews" deleted' in said
    assert diary.ladder("v2") == [50, 0]
    (left,) = [e.at for e in diary.of("Rollout") if e.type == "DELETED"]
    assert diary.weights("v2")[-1][0] < left
    assert (await world.traffic() - before).failures == {}


async def test_delete_at_rest_changes_nothing(world: Hands) -> None:
    await world.controller()
    await world.put_on()

    async with world.watching() as diary:
        await world.kubectl("delete", "rollout", "reviews", "--timeout=10s")
        await asyncio.sleep(0.2)

    assert len(diary.of("VirtualService")) == 1


async def test_applying_the_virtual_service_again_in_mid_run_is_put_right(world: Hands) -> None:
    await world.controller()
    await world.put_on(strategy=ladder((50, "60s")))
    applied = await world.stage.client.call("GET", f"{ROUTES}/reviews")
    del applied["metadata"]["resourceVersion"]
    path = world.file("reviews.yaml", applied)
    await world.want("v2")
    await world.until_step(1)

    async with world.watching() as diary:
        await world.kubectl("replace", "-f", path)
        await world.settled(50, "v2")
        (told,) = await world.told("PutBack")

    assert told.startswith("somebody else had set the weight of v2 to 0 %; it was put back to 50 %")
    assert diary.ladder("v2") == [50, 0, 50]
    assert (await world.status())["run"]["id"] == "1"
    assert weights_in(diary.of("VirtualService")[-1].object) == {"v1": 50, "v2": 50}


async def test_a_command_is_given_with_kubectl_and_answered(world: Hands) -> None:
    await world.controller()
    await world.put_on(strategy={"steps": [{"weight": 50}, {"pause": {}}], "bake": "0s"})
    await world.want("v2")
    await world.until(lambda s: s["phase"] == "Waiting")
    spec = {"rollout": "reviews", "run": "1", "step": 2, "verb": "Promote", "actor": "alice"}
    path = world.file(
        "promote.yaml",
        {**rollout(name="go-on"), "kind": "RolloutAction", "spec": spec},
    )

    await world.kubectl("create", "-f", path)
    await world.kubectl(
        "wait", "roa/go-on", "--for=jsonpath={.status.outcome}=Applied", "--timeout=10s"
    )
    status = await world.until_over()

    assert status["stableRevision"] == "v2"
