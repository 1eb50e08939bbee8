"""The demo's play: three releases, each brought about, waited for and measured."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from rollout.api.meta import ROLLOUT, Manifest
from rollout.api.phase import Outcome
from rollout.api.status import PastRun
from rollout.base.quantity import print_duration
from rollout.ports import Clock
from rollout.views import measure
from rollout.views.closing import Ended
from rollout.views.measure import Written
from rollout.views.screen import Act
from rollout.wiring.client import Client
from rollout.wiring.demo_record import Record

ACT_SECONDS_MAX = 75.0
"""The longest act takes about 35 s; on a machine that is busy with other things twice that."""

BREATH_SECONDS = 1.5
"""Between two acts: late answers are counted, and a person sees how it ended."""

ERROR_PERCENT = 8.0
"""What v3 fails with; eight times what its gate allows, and still missed by a casual look."""

ERRORS_FROM_PERCENT = 5.0
"""The weight from which v3 fails: the first step would not have shown it."""

ABORT_AT_PERCENT = 25.0

ABORT_AFTER_SECONDS = 2.5
"""How long the person of the third act watches 25 percent before they have seen enough."""

SNAP_SECONDS = 0.7
"""After the second act's version has lost its traffic: then the lines show it, too."""

ACTS = (
    Act(title="a healthy version", stable="v1", canary="v2"),
    Act(
        title=f"a version with {ERROR_PERCENT:g} % errors from {ERRORS_FROM_PERCENT:g} % on",
        stable="v2",
        canary="v3",
    ),
    Act(title="a version that a person takes back", stable="v2", canary="v4"),
)

EXPECTED = (Outcome.PROMOTED, Outcome.ROLLED_BACK, Outcome.ABORTED)


def manifest(namespace: str, *, name: str) -> Manifest:
    """The Rollout of the demo: a short ladder, and few requests are enough for a verdict."""
    hold = "6s"
    steps = [{"weight": weight, "hold": hold} for weight in (1, 5, 25, 50)]
    return {
        "apiVersion": ROLLOUT.api_version,
        "kind": ROLLOUT.kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "host": name,
            "revision": ACTS[0].stable,
            "strategy": {"steps": [*steps, {"weight": 100}], "bake": "4s"},
            "gates": [
                {"name": "errors", "errorRate": {"maxPercent": 1}},
                {"name": "latency", "latency": {"quantilePercent": 95, "max": "500ms"}},
            ],
            "judge": {"minRequests": 10},
        },
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Props:
    """What the play may touch besides the Rollout.

    Attributes:
        dial: turns the errors dial of a version, in percent.
        abort: says abort as a person does; returns what the person was told.
        snap: called when the second act's version has just lost its traffic.
    """

    dial: Callable[[str, float], Awaitable[None]]
    abort: Callable[[], Awaitable[str]]
    snap: Callable[[], None]


class Play:
    """The play as it goes on.

    Attributes:
        acts: the acts as they stand.
        ended: how those that are over went.
    """

    def __init__(
        self, record: Record, client: Client, clock: Clock, *, name: str, props: Props
    ) -> None:
        self.acts = list(ACTS)
        self.ended: list[Ended] = []
        self._record = record
        self._client = client
        self._clock = clock
        self._name = name
        self._props = props

    @property
    def present(self) -> Act:
        """The act that is on, or the one that was on last."""
        begun = [act for act in self.acts if act.state != "ahead"]
        return begun[-1] if begun else self.acts[0]

    @property
    def went_well(self) -> bool:
        """All acts ended as they should, and no request failed that was not the canary's."""
        return (
            len(self.ended) == len(ACTS)
            and all(end.act.state == "done" for end in self.ended)
            and not any(end.outside_failures for end in self.ended)
        )

    async def perform(self) -> None:
        """All three acts.

        Raises:
            Unanswered: something that should happen did not.
        """
        what = f"Rollout {self._name}, which should have been adopted,"
        await self._record.until(self._is_adopted, seconds=ACT_SECONDS_MAX, what=what)
        helpers = (self._nothing, self._spoil, self._lose_patience)
        for number, helper in enumerate(helpers):
            await self._act(number, helper)

    def _is_adopted(self) -> bool:
        seen = self._record.subject
        return seen is not None and seen.status.stable_revision == ACTS[0].stable

    async def _act(self, number: int, helper: Callable[[], Awaitable[None]]) -> None:
        act = self.acts[number] = replace(ACTS[number], state="here")
        since = self._record.now_seconds
        manifest = await self._client.rollout(self._name)
        await self._client.set_revision(manifest, act.canary, reason=act.title)
        self._record.tell(f"{act.canary} is asked for")
        async with asyncio.TaskGroup() as tasks:
            helping = tasks.create_task(_run(helper))
            what = f"the run to {act.canary}"
            await self._record.until(
                lambda: self._past(act) is not None, seconds=ACT_SECONDS_MAX, what=what
            )
            helping.cancel()
        until = self._record.now_seconds
        past = self._past(act)
        assert past is not None, "it was waited for"
        right = past.outcome is EXPECTED[number]
        result = f"{_WORDS[past.outcome]} after {_took(past)}"
        act = self.acts[number] = replace(act, state="done" if right else "failed", result=result)
        await self._clock.sleep(BREATH_SECONDS)
        self.ended.append(self._measured(act, past, since=since, until=until))

    def _past(self, act: Act) -> PastRun | None:
        """The act's run once it is over."""
        seen = self._record.subject
        history = seen.status.history if seen is not None else ()
        return history[0] if history and history[0].revision == act.canary else None

    # What happens in an act besides the release itself.

    async def _nothing(self) -> None:
        return

    async def _spoil(self) -> None:
        """Turn the second act's version bad, and take the picture when it has been found out."""
        canary = ACTS[1].canary
        await self._reaches(canary, ERRORS_FROM_PERCENT)
        await self._props.dial(canary, ERROR_PERCENT)
        self._record.tell(f"{canary} begins to fail: {ERROR_PERCENT:g} % of its answers are 500")
        await self._record.until(
            lambda: self._has_left(canary), seconds=ACT_SECONDS_MAX, what=f"the end of {canary}"
        )
        await self._clock.sleep(SNAP_SECONDS)
        self._props.snap()

    async def _lose_patience(self) -> None:
        """Be the person of the third act."""
        canary = ACTS[2].canary
        await self._reaches(canary, ABORT_AT_PERCENT)
        await self._clock.sleep(ABORT_AFTER_SECONDS)
        self._record.tell(f"a person types: rollout abort {self._name}")
        told = await self._props.abort()
        self._record.tell(f"the person reads: {told}")

    async def _reaches(self, version: str, weight: float) -> None:
        what = f"{version}, which should get {weight:g} % of the traffic,"
        await self._record.until(
            lambda: self._record.weight(version) >= weight, seconds=ACT_SECONDS_MAX, what=what
        )

    def _has_left(self, version: str) -> bool:
        seen = self._record.subject
        run = seen.run if seen is not None else None
        return run is not None and run.canary_revision == version and run.ending is not None

    # What it comes to.

    def _measured(self, act: Act, past: PastRun, *, since: float, until: float) -> Ended:
        writes = [write for write in self._record.writes if write.at_seconds >= since]
        samples = list(self._record.samples)
        canary = past.revision
        counted = measure.damage(samples, canary=canary, since=since, until=until)
        rungs = measure.rungs(writes, samples, canary=canary, until=until)
        return Ended(
            act=act,
            outcome=past.outcome,
            because=past.because,
            seconds=(past.ended_at - past.started_at).total_seconds(),
            rungs=rungs,
            canary_requests=counted.canary_requests,
            canary_failures=counted.canary_failures,
            outside_failures=counted.outside_failures,
            reaction_seconds=self._reaction(past, writes),
        )

    def _reaction(self, past: PastRun, writes: Sequence[Written]) -> float | None:
        """From the sample that failed, or from the command, to the canary without traffic."""
        cause = self._record.aborts.get(past.id)
        run = self._record.subject.run if self._record.subject is not None else None
        if past.outcome is Outcome.ROLLED_BACK and run is not None and run.ending is not None:
            stamps = [g.failed_sample_at for g in run.gates if g.name == run.ending.gate]
            cause = stamps[0].timestamp() if stamps and stamps[0] is not None else None
        if cause is None:
            return None
        gone = measure.returned_at(writes, canary=past.revision, since=cause)
        return gone - cause if gone is not None else None


async def _run(helper: Callable[[], Awaitable[None]]) -> None:
    await helper()


_WORDS = {
    Outcome.PROMOTED: "promoted",
    Outcome.ROLLED_BACK: "rolled back",
    Outcome.ABORTED: "aborted",
    Outcome.SUPERSEDED: "superseded",
    Outcome.DELETED: "deleted",
}


def _took(past: PastRun) -> str:
    return print_duration((past.ended_at - past.started_at).total_seconds())
