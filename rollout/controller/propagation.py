"""Watches, through istiod, how proxies take what was written; only while some run waits for it.

What is found is judged by `waiting`. One look serves all runs that wait. Whatever goes wrong with
it ends no more than those waits, which are then left to traffic or time.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

from rollout.api.meta import Key
from rollout.api.status import Run
from rollout.api.traffic import Propagation, Spread, SubsetPolicy, SubsetTable
from rollout.base.errors import RolloutError
from rollout.base.hosts import fqdn
from rollout.controller.nonces import Found, Nonced
from rollout.controller.record import Record
from rollout.controller.waiting import UNCHANGED_SECONDS, WAITING, About, Wait
from rollout.engine.observation import Observation
from rollout.ports import Clock, Mesh, XdsType

log = structlog.get_logger(__name__)

LOOK_SECONDS = 0.1
"""Between two looks, at first: as long as istiod gathers changes (``PILOT_DEBOUNCE_AFTER``)."""

LOOK_SECONDS_MAX = 2.0
"""Between two looks, once a run has waited for long."""

SLOWER_FACTOR = 10
"""Looks are apart by at least so small a part of the time that the youngest wait has lasted."""

COST_FACTOR = 4
"""Looks are apart by at least so many times what one takes: thousands of proxies are some MB."""

OLD_SECONDS = 15.0
"""A subset that has served unchanged for longer than `UNCHANGED_SECONDS`, and some, has been sent
already: it is enough that everything which was sent is taken."""

FRESH_SECONDS = 0.3
"""How old nonces may be and still stand for those before a write."""

BEFORE_SECONDS_MAX = 0.5
"""How long a write that gives the canary more waits for them; then it goes without."""

SLOW_SECONDS = 5.0
"""After it waited in vain no write waits for so long: all runs share one istiod, and workers."""

UNREACHABLE_SECONDS = 2.0
"""How long istiod may not answer before traffic or time must tell."""

WORDS_LENGTH_MAX = 200
"""Characters of an error that nobody foresaw."""

ROUTES: Mapping[str, XdsType] = {"http": XdsType.RDS, "tcp": XdsType.LDS, "tls": XdsType.LDS}
"""Where proxies are given the routes of each protocol."""

SUBSETS = frozenset({XdsType.CDS, XdsType.EDS})
"""How proxies are given subsets and who answers for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Age:
    """Since when a subset is as it is.

    Attributes:
        shape: its labels and policy.
        shaped_seconds: since when it has them.
        serving_seconds: since when somebody answers for it; None: nobody does.
    """

    shape: tuple[Mapping[str, str], SubsetPolicy | None]
    shaped_seconds: float
    serving_seconds: float | None

    @property
    def whole_seconds(self) -> float | None:
        """Since when it has served as it does."""
        serving = self.serving_seconds
        return None if serving is None else max(serving, self.shaped_seconds)


class Propagations:
    """Looks for all runs together.

    Args:
        mesh: istiod; None when no address is configured: then all is unasked.
        clock: time.
        ring: has a key looked at again.
        record: our own metrics.
        settle_seconds: how long proxies are given where nobody can tell.
    """

    def __init__(
        self,
        mesh: Mesh | None,
        clock: Clock,
        ring: Callable[[Key], object],
        record: Record,
        *,
        settle_seconds: float,
    ) -> None:
        self._mesh = mesh
        self._clock = clock
        self._ring = ring
        self._record = record
        self._settle_seconds = settle_seconds
        self._waits: dict[Key, Wait] = {}
        self._ages: dict[Key, dict[str, _Age]] = {}
        self._nonced = Nonced()
        self._looking = asyncio.Lock()
        self._stirred = asyncio.Event()
        self._is_wanted = False
        self._cost_seconds = 0.0
        self._slow_until_seconds = -math.inf

    # What deciding asks.

    def seen(self, o: Observation) -> Propagation:
        """How proxies stand to what the run in the status has written, or is about to use."""
        run = o.status.run
        if self._mesh is None:
            return Propagation()
        self._note(o.key, o.subsets, o.ready)
        if run is None or run.ended_at is not None:
            return Propagation()
        wait, prepares = self._waits.get(o.key), _prepares(run)
        about = self._about_subset(o.key, run) if prepares else _about_weight(run.id, run.weight)
        if wait is not None and wait.about == about:
            return wait.known
        if prepares:
            return _asking(None)
        told = "this controller has not seen the weights being written"
        return Propagation(spread=Spread.UNKNOWN, percent=run.weight, message=told)

    def _note(self, key: Key, subsets: SubsetTable, ready: Mapping[str, int]) -> None:
        """Remember since when subsets have been as they are, and have had somebody to answer."""
        now, known = self._clock.monotonic_seconds(), self._ages.get(key, {})
        ages: dict[str, _Age] = {}
        for name, labels in subsets.subsets.items():
            shape, before = (labels, subsets.policies.get(name)), known.get(name)
            shaped = before.shaped_seconds if before and before.shape == shape else now
            serving = before.serving_seconds if before else None
            serving = now if serving is None else serving
            ages[name] = _Age(
                shape=shape,
                shaped_seconds=shaped,
                serving_seconds=serving if ready.get(name, 0) > 0 else None,
            )
        self._ages[key] = ages

    # What writing tells.

    async def before_write(self, o: Observation, percent: float) -> None:
        """Have nonces at hand that are older than a write to come, of so many percent.

        A write that takes traffic from the canary waits for nothing: they come while it is made,
        and istiod gathers changes for longer than that takes.
        """
        run, now = o.status.run, self._clock.monotonic_seconds()
        if self._mesh is None or self._fresh() is not None:
            return
        is_less = run is None or percent < run.weight or percent == 0
        if is_less or now < self._slow_until_seconds:
            self._is_wanted = True
            self._stirred.set()
            return
        try:
            async with asyncio.timeout(BEFORE_SECONDS_MAX):
                has_told = await self._look()
        except TimeoutError:
            has_told = False
        if not has_told:
            self._slow_until_seconds = self._clock.monotonic_seconds() + SLOW_SECONDS

    def wrote(self, o: Observation, run: Run | None) -> None:
        """A run's weight was written just now."""
        if self._mesh is None or run is None or run.ended_at is not None:
            return
        now = self._clock.monotonic_seconds()
        types = frozenset(ROUTES.get(r.protocol, XdsType.RDS) for r in o.routing.routes)
        self._begin(
            o.key,
            Wait(
                about=_about_weight(run.id, run.weight),
                percent=run.weight,
                types=types,
                proving=types,
                since_seconds=now,
                written_seconds=now,
                bound_seconds=UNCHANGED_SECONDS,
                floor_seconds=self._settle_seconds,
                before=self._fresh(),
                known=_asking(run.weight),
            ),
        )

    def want(self, key: Key, run: Run) -> None:
        """Have it found out whether proxies know the canary's subset, if the run waits for that."""
        if self._mesh is None or not _prepares(run):
            return
        age = self._ages.get(key, {}).get(run.canary_revision)
        whole_seconds = age.whole_seconds if age else None
        wait, about = self._waits.get(key), self._about_subset(key, run)
        if age is None or whole_seconds is None or (wait is not None and wait.about == about):
            return
        now = self._clock.monotonic_seconds()
        is_shaped = now - age.shaped_seconds < OLD_SECONDS
        self._begin(
            key,
            Wait(
                about=about,
                percent=None,
                types=SUBSETS,
                proving=frozenset({XdsType.CDS if is_shaped else XdsType.EDS}),
                since_seconds=now,
                written_seconds=whole_seconds,
                bound_seconds=self._settle_seconds,
                floor_seconds=self._settle_seconds,
                named_as=f"|{run.canary_revision}|{fqdn(run.plan.host, namespace=key.namespace)}",
                is_old=now - whole_seconds >= OLD_SECONDS,
                known=_asking(None),
            ),
        )

    def forget_run(self, key: Key) -> None:
        """The run is over."""
        self._waits.pop(key, None)

    def forget(self, key: Key) -> None:
        """The Rollout is gone."""
        self.forget_run(key)
        self._ages.pop(key, None)

    # Looking.

    async def run(self) -> None:
        """Look, for ever; while no run waits nothing is asked at all."""
        if self._mesh is None:
            await asyncio.Event().wait()
        self._waits.clear()  # another controller may have led, and written, meanwhile
        while True:
            self._stirred.clear()
            is_wanted = self._is_wanted or any(wait.is_open for wait in self._waits.values())
            self._is_wanted = False
            if is_wanted and await self._look():
                self._judge_all()
            await self._sleep(self._apart_seconds())

    async def _sleep(self, seconds: float) -> None:
        """Until the next look is due, or somebody begins to wait."""
        if seconds == math.inf:
            await self._stirred.wait()
            return
        try:
            async with asyncio.timeout(seconds):
                await self._stirred.wait()
        except TimeoutError:
            return

    def _apart_seconds(self) -> float:
        """How long until the next look."""
        now = self._clock.monotonic_seconds()
        ages = [now - wait.since_seconds for wait in self._waits.values() if wait.is_open]
        if not ages:
            return math.inf
        slow = min(max(LOOK_SECONDS, min(ages) / SLOWER_FACTOR), LOOK_SECONDS_MAX)
        return max(slow, COST_FACTOR * self._cost_seconds)

    async def _look(self) -> bool:
        """Ask istiod once; whether it has told."""
        assert self._mesh is not None, "without an address nothing is asked"
        async with self._looking:
            begun = self._clock.monotonic_seconds()
            try:
                proxies = await self._mesh.proxies()
                now = self._clock.monotonic_seconds()
                self._nonced.learn(proxies, now=now, begun_seconds=begun)
            except RolloutError as error:
                return self._failed(str(error))
            except Exception as error:
                # A mistake of ours, or an answer that nobody foresaw, must not end the term.
                log.exception("asking istiod crashed")
                return self._failed(_told(error))
            self._cost_seconds = self._clock.monotonic_seconds() - begun
            self._record.asked_istiod("ok")
            return True

    def _failed(self, problem: str) -> bool:
        """Nobody answers; after a while traffic or time must."""
        now = self._clock.monotonic_seconds()
        self._record.asked_istiod("failed")
        for key, wait in self._waits.items():
            if not wait.is_open:
                continue
            if wait.failing_seconds is None:
                wait.failing_seconds = now
            if now - wait.failing_seconds >= UNREACHABLE_SECONDS:
                self._tell(key, wait, wait.told(Spread.UNKNOWN, problem))
        return False

    def _judge_all(self) -> None:
        for key, wait in self._waits.items():
            if wait.is_open:
                wait.failing_seconds = None
                self._tell(key, wait, self._judged(key, wait))

    def _judged(self, key: Key, wait: Wait) -> Propagation:
        """What the newest look tells a run."""
        try:
            told = wait.judge(self._nonced)
        except Exception as error:
            log.exception("judging proxies crashed", rollout=str(key))
            return wait.told(Spread.UNKNOWN, _told(error))
        if told.spread is Spread.DONE:
            waited_seconds = self._nonced.at_seconds - wait.since_seconds
            self._record.propagated(seconds=waited_seconds)
        return told

    def _tell(self, key: Key, wait: Wait, told: Propagation) -> None:
        """Keep what is known; a run that should decide differently by it is looked at again."""
        before, wait.known = wait.known, told
        if (before.spread, before.refused, before.hindered) != (
            told.spread,
            told.refused,
            told.hindered,
        ):
            self._ring(key)

    # Small things.

    def _begin(self, key: Key, wait: Wait) -> None:
        self._waits[key] = wait
        self._stirred.set()

    def _fresh(self) -> Found | None:
        """The newest nonces, if they are new enough to stand for those of this moment."""
        age_seconds = self._clock.monotonic_seconds() - self._nonced.at_seconds
        return self._nonced.newest if age_seconds <= FRESH_SECONDS else None

    def _about_subset(self, key: Key, run: Run) -> About:
        age = self._ages.get(key, {}).get(run.canary_revision)
        return "subset", run.id, run.canary_revision, age and age.whole_seconds


def _about_weight(run: str, percent: float) -> About:
    return "weight", run, percent


def _prepares(run: Run) -> bool:
    """Whether a run waits for the canary's subset and endpoints, and not for weights."""
    return run.ending is None and run.ended_at is None and (run.step == 0 or run.retreated)


def _asking(percent: float | None) -> Propagation:
    """What is known before the first look."""
    return Propagation(spread=Spread.PENDING, percent=percent, message=WAITING)


def _told(error: Exception) -> str:
    """An error that nobody foresaw, for a sentence."""
    told = f"{type(error).__name__}: {error}"[:WORDS_LENGTH_MAX]
    return f"what istiod tells could not be used: {told}"
