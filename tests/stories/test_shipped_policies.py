"""The policies that are shipped: each says what it is for, is taken by the server, and runs."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from rollout.adapters.calendar import CronCalendar
from rollout.analysis.history import History
from rollout.api import crd, merging, reading
from rollout.api.meta import CLUSTER_ROLLOUT_POLICY, Manifest
from rollout.api.phase import Phase
from rollout.api.rollout import RolloutSpec
from rollout.base.quantity import parse_duration
from rollout.engine import plan as plans
from rollout.engine.foresight import foresee
from rollout.sandbox.apiserver import serve
from tests.house.survey import ROOT
from tests.sandbox.apiclient import Api, connected
from tests.stories import gray
from tests.world.engine_world import FAIL, PASS, World, always

POLICIES = sorted((ROOT / "policies").glob("*.yaml"))
NAMES = {"careful", "fast", "internal-first", "night", "standard", "tcp"}
LINE_LENGTH_MAX = 100
RAMPED = "fast"
"""Its weight comes from evidence: it needs a world with requests."""

EVENING = datetime(2026, 3, 2, 18, 0, tzinfo=UTC)
GOOD = History(
    requests_per_second=1.0,
    bad_ratio=0.001,
    dispersion_factor=1.0,
    why="one request in a thousand fails",
)

each = pytest.mark.parametrize("path", POLICIES, ids=lambda path: path.stem)


def read(path: Path) -> Manifest:
    (manifest,) = yaml.safe_load_all(path.read_text(encoding="utf-8"))
    found: Manifest = manifest
    return found


def spec_of(path: Path, **own: object) -> RolloutSpec:
    """A Rollout that says nothing but which policy it wants."""
    manifest = read(path)
    ref = {"kind": manifest["kind"], "name": manifest["metadata"]["name"]}
    spec = {"host": "reviews", "revision": "v2", "policyRef": ref, **own}
    policies = merging.ruling(spec, [merging.policy_of(manifest)], namespace="bookinfo")
    assert policies, "the name in the file is the name of the policy"
    return reading.read_merged(merging.merged(spec, policies))


def world(path: Path, **fields: object) -> World:
    return World(spec=spec_of(path), now=EVENING, **fields).settle()  # type: ignore[arg-type]


def test_all_are_here_and_called_as_their_files() -> None:
    assert {path.stem for path in POLICIES} == NAMES
    assert all(read(path)["metadata"]["name"] == path.stem for path in POLICIES)


@each
def test_a_policy_says_what_it_is_for_and_why_it_is_so(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    spec = reading.read_policy(read(path))

    assert lines[0].startswith("# ")
    assert all(len(line) <= LINE_LENGTH_MAX for line in lines)
    assert spec.description is not None
    assert spec.description.startswith("For ")
    assert spec.description.endswith(".")


@each
def test_applying_the_folder_changes_nothing_for_those_who_name_none(path: Path) -> None:
    manifest = read(path)
    spec = reading.read_policy(manifest)

    assert merging.ruling({}, [merging.policy_of(manifest)], namespace="shop") == ()
    assert spec.stop is None
    assert spec.limits.runs_at_once is None
    assert not spec.windows.allow
    assert not spec.windows.freeze


@each
def test_its_windows_come(path: Path) -> None:
    for i, opening in enumerate(spec_of(path).windows.allow):
        CronCalendar().check(opening, at=f"spec.windows.allow[{i}]")


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with serve(list(crd.crds())) as server, connected(server.url) as client:
        yield client


async def test_the_server_takes_each_as_it_is_written(api: Api) -> None:
    for path in POLICIES:
        manifest = read(path)

        kept = await api.create(CLUSTER_ROLLOUT_POLICY.path(), manifest, fieldValidation="Strict")

        assert kept["spec"] == manifest["spec"]


@pytest.mark.parametrize(
    "path", [path for path in POLICIES if path.stem != RAMPED], ids=lambda path: path.stem
)
def test_a_good_release_is_promoted_by_its_own_steps(path: Path) -> None:
    here = world(path, says=always(PASS))
    tops = [step.top_weight for step in spec_of(path).strategy.steps if step.top_weight]

    here.until(Phase.STABLE, within_seconds=24 * 3600)

    assert here.status.stable_revision == "v2"
    assert [past.outcome for past in here.status.history] == ["Promoted"]
    reached = {weight for _, weight in here.ladder()}
    assert reached >= set(tops)


@pytest.mark.looptime(noop_cycles=1)
@pytest.mark.parametrize(("error_percent", "phase"), [(0, "Stable"), (40, "RolledBack")])
async def test_a_ramp_is_climbed_by_a_good_release_and_left_by_a_bad_one(
    error_percent: float, phase: str
) -> None:
    rollout = gray.rollout(policyRef={"kind": "ClusterRolloutPolicy", "name": RAMPED})
    for part in ("strategy", "gates", "judge"):
        del rollout["spec"][part]
    async with gray.told(rollout) as story:
        story.cluster.put(CLUSTER_ROLLOUT_POLICY, read(ROOT / f"policies/{RAMPED}.yaml"))
        story.fail("v1", 0.2)
        story.fail("v2", error_percent)
        await story.stable()

        story.want("v2")
        await story.until(
            lambda: bool(story.status().history), within_seconds=3600, look_seconds=1.0
        )

        status = story.status()
        assert status.phase == phase
        assert status.stable_revision == ("v2" if phase == "Stable" else "v1")
        assert status.run is not None
        assert status.run.policies == (f"ClusterRolloutPolicy {RAMPED}",)
        if phase == "Stable":
            assert 50 in story.canary_weights()
            assert len(story.canary_weights()) > 4


@each
def test_a_bad_release_is_taken_back_in_its_first_step(path: Path) -> None:
    here = world(path, says=lambda _name, _run, elapsed: FAIL if elapsed >= 30 else PASS)

    here.until(Phase.ROLLED_BACK, within_seconds=24 * 3600)

    (past,) = here.status.history
    assert (past.outcome, past.steps) == ("RolledBack", 1)
    assert here.on_stable


def test_a_release_of_the_night_waits_for_it_and_lies_still_by_day() -> None:
    path = ROOT / "policies/night.yaml"
    here = world(path, says=always(PASS))
    waiting = here.message

    here.until(Phase.PROGRESSING, within_seconds=24 * 3600)

    assert "closed until 22:00 Europe/Berlin (outside of spec.windows)" in waiting
    assert here.run.started_at == EVENING.replace(hour=21)  # 22:00 there


def test_whoever_names_the_careful_one_cannot_ask_for_less_evidence() -> None:
    loose = {"name": "errors", "errorRate": {"maxPercent": 90}, "mode": "Observe"}

    spec = spec_of(
        ROOT / "policies/careful.yaml",
        gates=[loose],
        onFailure="Hold",
        judge={"minRequests": 1},
        strategy={"bake": "2h"},
    )

    (errors,) = [gate for gate in spec.gates if gate.name == "errors"]
    assert (errors.mode, spec.on_failure, spec.judge.min_requests) == ("Enforce", "Rollback", 500)
    assert spec.strategy.bake == "2h"


@each
def test_with_the_traffic_it_is_for_it_is_over_long_before_its_deadline(path: Path) -> None:
    description = reading.read_policy(read(path)).description or ""
    told = re.search(r"(\d+) requests a second or more", description)
    if told is None:
        assert path.stem == "tcp", "what is not foretold of connections"
        return

    found = foresee(plans.resolve(spec_of(path)), GOOD, requests_per_second=float(told[1]))

    assert found.total_seconds < parse_duration(found.plan.strategy.max_duration) / 4
