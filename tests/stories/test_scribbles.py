"""Somebody writes a status that nobody can read: the run goes on, or a person is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from rollout.api.action import ActionSpec, Verb, action_name
from rollout.api.meta import ROLLOUT, ROLLOUT_ACTION, Key, Kind, Manifest
from rollout.api.salvage import read_status
from rollout.api.status import RolloutStatus
from rollout.controller.observe import FINALIZER
from rollout.views import subject
from tests.stories import gray
from tests.stories.gray import Story
from tests.stories.test_drift import begin, long_holds

pytestmark = pytest.mark.looptime(noop_cycles=1)


def scribble(story: Story, change: Callable[[dict[str, Any]], object]) -> None:
    def edit(manifest: Manifest) -> None:
        change(manifest["status"])

    story.cluster.edit(ROLLOUT, gray.KEY, edit)


def without_plan(status: dict[str, Any]) -> None:
    del status["run"]["plan"]


def dancing_only(status: dict[str, Any]) -> None:
    status.clear()
    status["phase"] = "Dancing"


def shown(story: Story) -> RolloutStatus:
    """What `rollout get` and `kubectl get` have to show."""
    return read_status(story.cluster.peek(ROLLOUT, gray.KEY)).status


def abort(story: Story) -> Key:
    """An abort of run 1, by somebody who cannot read the status either."""
    spec = ActionSpec(
        rollout=gray.KEY.name, run="1", verb=Verb.ABORT, actor="alice@example.com", sequence=1
    )
    key = Key(gray.NAMESPACE, action_name(spec, uid="u"))
    given = spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    story.cluster.put(
        ROLLOUT_ACTION,
        {"metadata": {"name": key.name, "namespace": key.namespace}, "spec": given},
    )
    return key


async def at_five_percent() -> Story:
    """A run at its first step whose controller is no more."""
    story = gray.furnished(long_holds())
    async with gray.running(gray.controller(story).run):
        await begin(story)
    return story


@pytest.mark.parametrize(
    "change",
    [
        lambda status: status.update(phase="Dancing"),
        without_plan,
        dancing_only,
        lambda status: status.update(run="gone"),
    ],
    ids=["phase", "plan", "everything", "run"],
)
async def test_a_scribble_in_mid_run_is_written_over_and_the_run_goes_on(
    change: Callable[[dict[str, Any]], object],
) -> None:
    async with gray.told(long_holds()) as story:
        await begin(story)
        before = story.status()

        scribble(story, change)
        await asyncio.sleep(2)

        after = story.status()
        assert after.phase == before.phase
        assert after.run is not None
        assert before.run is not None
        assert after.run.plan == before.run.plan
        assert after.run.step_started_at == before.run.step_started_at
        assert story.weight("v2") == 5
        assert len(story.events("StatusRestored")) == 1
        assert "status." in story.events("StatusRestored")[0]


async def test_a_scribble_right_after_our_own_write_does_not_bring_back_what_was_before() -> None:
    async with gray.told(long_holds()) as story:
        await begin(story)

        def undo(kind: Kind, manifest: Manifest) -> None:
            story.heard(kind, manifest)
            if kind == ROLLOUT and manifest.get("status", {}).get("phase") == "RollingBack":
                story.cluster.heard = story.heard
                scribble(story, dancing_only)

        story.cluster.heard = undo
        story.command(Verb.ABORT)
        await asyncio.sleep(10)

        assert story.status().phase == "RolledBack"
        assert story.canary_weights() == [0, 5, 0]


async def test_an_abort_is_obeyed_though_somebody_scribbled() -> None:
    async with gray.told(long_holds()) as story:
        await begin(story)

        scribble(story, lambda status: status.update(phase="Dancing"))
        said = abort(story)
        await asyncio.sleep(5)

        assert story.answer(said)["outcome"] == "Applied"
        assert story.weight("v2") == 0
        assert story.status().phase == "RolledBack"


async def test_whoever_scribbles_without_end_is_answered_ever_more_seldom() -> None:
    async with gray.told(long_holds()) as story:
        await begin(story)
        before = story.writes(ROLLOUT)

        for _ in range(300):
            scribble(story, lambda status: status.update(phase="Dancing"))
            await asyncio.sleep(0.2)
        during = story.writes(ROLLOUT) - before
        await asyncio.sleep(11)

        assert during <= 20
        assert story.status().phase == "Progressing"
        assert len(story.events("StatusRestored")) <= 2


async def test_after_a_restart_a_run_that_can_be_read_goes_on() -> None:
    story = await at_five_percent()
    scribble(story, lambda status: status.update(phase="Dancing", history="none"))
    scribble(story, lambda status: status["run"].update(evidence=7, gates="all"))

    async with gray.running(gray.controller(story).run):
        await asyncio.sleep(2)
        await story.until_step(2, within_seconds=200)

        assert story.canary_weights() == [0, 5, 50]


async def test_after_a_restart_a_run_that_cannot_be_read_touches_nothing_and_says_so() -> None:
    story = await at_five_percent()
    scribble(story, without_plan)

    async with gray.running(gray.controller(story).run):
        said = abort(story)
        await asyncio.sleep(5)
        writes = len(story.cluster.writes)
        await asyncio.sleep(600)

        status = shown(story)
        answer = story.answer(said)
        manifest = story.cluster.peek(ROLLOUT, gray.KEY)
        assert (status.phase, status.reason) == ("Invalid", "StatusUnreadable")
        assert "status.run.plan" in status.message
        assert "kubectl" in status.message
        assert [c.status for c in status.conditions if c.type == "Ready"] == ["False"]
        assert subject.read(manifest).status.message == status.message
        assert answer["outcome"] == "Refused"
        assert "status.run.plan" in answer["message"]
        assert manifest["status"]["run"]["canaryRevision"] == "v2"
        assert manifest["metadata"]["finalizers"] == [FINALIZER]
        assert story.weight("v2") == 5
        assert len(story.cluster.writes) == writes
        assert len(story.events("StatusUnreadable")) == 1


async def test_whoever_mends_the_field_has_the_run_go_on() -> None:
    story = await at_five_percent()
    plan = story.cluster.peek(ROLLOUT, gray.KEY)["status"]["run"]["plan"]
    scribble(story, without_plan)

    async with gray.running(gray.controller(story).run):
        await asyncio.sleep(5)
        scribble(story, lambda status: status["run"].update(plan=plan))
        await story.until_step(2, within_seconds=200)

        assert story.canary_weights() == [0, 5, 50]


async def test_whoever_removes_the_field_has_what_is_there_adopted() -> None:
    story = await at_five_percent()
    scribble(story, without_plan)

    async with gray.running(gray.controller(story).run):
        await asyncio.sleep(5)
        story.want("v1")
        story.set_weights(v1=100)
        scribble(story, lambda status: status.pop("run"))
        await story.stable()
        await asyncio.sleep(1)

        assert story.cluster.peek(ROLLOUT, gray.KEY)["metadata"].get("finalizers", []) == []


async def test_a_rollout_of_an_unreadable_run_can_be_deleted_and_traffic_stays() -> None:
    story = await at_five_percent()
    scribble(story, without_plan)

    async with gray.running(gray.controller(story).run):
        await asyncio.sleep(2)
        story.cluster.remove(ROLLOUT, gray.KEY)
        await asyncio.sleep(2)

        assert story.cluster.everything(ROLLOUT) == {}
        assert story.weight("v2") == 5
        assert "status.run.plan" in story.events("Deleted")[0]


async def test_a_scribbled_rollout_that_is_deleted_still_returns_traffic() -> None:
    async with gray.told(long_holds()) as story:
        await begin(story)

        scribble(story, without_plan)
        story.cluster.remove(ROLLOUT, gray.KEY)
        await asyncio.sleep(5)

        assert story.cluster.everything(ROLLOUT) == {}
        assert story.weight("v1") == 100


async def test_a_rejected_revision_does_not_run_again_because_it_cannot_be_read() -> None:
    story = gray.furnished(long_holds())
    async with gray.running(gray.controller(story).run):
        await begin(story)
        story.command(Verb.ABORT)
        await story.until_phase("RolledBack", within_seconds=10)
        await asyncio.sleep(1)
    scribble(story, lambda status: status.update(rejectedRevision=7, stableRevision=["v1"]))

    async with gray.running(gray.controller(story).run):
        await asyncio.sleep(30)

        assert story.status().rejected_revision == "v2"
        assert story.status().stable_revision == "v1"
        assert story.canary_weights() == [0, 5, 0]
