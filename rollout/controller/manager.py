"""Runs the controller: watches, workers, telescope, election and housekeeping in one TaskGroup."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random
from typing import Protocol

import structlog

from rollout.api.meta import (
    DESTINATION_RULE,
    EVENT,
    ROLLOUT,
    ROLLOUT_ACTION,
    VIRTUAL_SERVICE,
    Key,
    Manifest,
)
from rollout.base.errors import RolloutError
from rollout.controller.apply import Applier
from rollout.controller.authorship import Authorship
from rollout.controller.cache import Cache, key_of
from rollout.controller.correspondence import Correspondence, Outlets
from rollout.controller.event import Event
from rollout.controller.hindsight import Hindsight
from rollout.controller.housekeeping import Housekeeper
from rollout.controller.judging import Judging
from rollout.controller.observe import Observer
from rollout.controller.policies import Policies
from rollout.controller.propagation import Propagations
from rollout.controller.queue import WorkQueue
from rollout.controller.reconcile import Outcome, Reconciler, Result
from rollout.controller.record import Record
from rollout.controller.telescope import Telescope
from rollout.controller.watch import Notify, Reflector
from rollout.controller.world import World
from rollout.ports import Alarms, Calendar, Clock, Cluster, Mesh, Metrics

ESSENTIAL = (ROLLOUT, ROLLOUT_ACTION, VIRTUAL_SERVICE, DESTINATION_RULE)
"""Kinds without which nothing can be decided. Without any other an abort is obeyed all the same."""

EVENTS_MAX = 1000
"""Events waiting to be written; beyond that the oldest is dropped: nobody may wait for an Event."""

HEARTBEAT_SECONDS = 1.0
"""How often the loop shows that it is alive."""

STUCK_SECONDS = 60.0
"""How long one reconcile may take before the controller calls itself stuck: each of its few writes
has a timeout of 10 s."""

log = structlog.get_logger(__name__)


class Leadership(Protocol):
    """Who may write: see `controller.lease`."""

    async def run(self, while_leading: Callable[[int], Awaitable[None]]) -> None:
        """Take part in the election for ever; the work is cancelled when the lease may be lost."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How the controller runs.

    Attributes:
        namespace: the one namespace to look at; empty: all.
        workers_count: reconciles at one time.
        settle_seconds: how long proxies are given to take a change.
        status_seconds: how old what only people read may grow in a status.
        scrape_seconds: the scrape interval until it has been learnt from the data.
        identity_policy: the admission policy that sees to it that nobody commands in another's
            name.
        trust_actors: believe whom a command names, checked or not.
    """

    namespace: str
    workers_count: int
    settle_seconds: float
    status_seconds: float
    scrape_seconds: float
    identity_policy: str
    trust_actors: bool


class Manager:
    """The controller; `run` returns when it is cancelled.

    Attributes:
        queue: keys waiting for a worker.
        reflectors: what keeps the caches.
        heard_seconds: when the loop last showed that it is alive, on the monotonic clock.
    """

    def __init__(  # noqa: PLR0913 - one for each port
        self,
        *,
        cluster: Cluster,
        metrics: Metrics | None,
        mesh: Mesh | None,
        clock: Clock,
        alarms: Alarms,
        calendar: Calendar,
        random: Random,
        record: Record,
        leadership: Leadership | None,
        outlets: Outlets,
        options: Options,
    ) -> None:
        self._cluster = cluster
        self._clock = clock
        self._alarms = alarms
        self._record = record
        self._leadership = leadership
        self._options = options
        self.world = World(namespace=options.namespace)
        self.queue = WorkQueue(clock, random, on_room=self._add_all)
        self._hindsight = Hindsight(metrics, self._ring, record)
        self._telescope = Telescope(
            metrics, clock, self._ring_patiently, record, interval_seconds=options.scrape_seconds
        )
        judging = Judging(self._telescope, self._hindsight)
        self._propagations = Propagations(
            mesh, clock, self._ring, record, settle_seconds=options.settle_seconds
        )
        self._authorship = _authorship(cluster, clock, options, needed=self._is_steered)
        self.leading = False
        self.correspondence = self._correspondence(outlets)
        self._policies = Policies(self.world, calendar)
        observer = Observer(
            self.world,
            judging,
            clock,
            authorship=self._authorship,
            mailbox=self.correspondence.mailbox,
            policies=self._policies,
            settle_seconds=options.settle_seconds,
        )
        applier = Applier(
            cluster,
            self.world,
            observer,
            self._propagations,
            status_seconds=options.status_seconds,
            noticed=lambda cache, change: self._noticer(cache)(change.old, change.new),
            moved=lambda change: self._wake_line(change.old, change.new),
        )
        self._events: asyncio.Queue[Event] = asyncio.Queue(EVENTS_MAX)
        parts = observer, applier, judging, self._propagations
        hooking = self.correspondence.hooking
        self._reconciler = Reconciler(
            *parts, hooking=hooking, alarms=alarms, clock=clock, tell=self._tell
        )
        self.reflectors = tuple(self._reflector(cache, random) for cache in self.world.caches())
        self.heard_seconds = clock.monotonic_seconds()
        self._show()

    def _is_steered(self) -> bool:
        """Whether somebody may command something now."""
        return self._telescope.is_watching

    def _correspondence(self, outlets: Outlets) -> Correspondence:
        return Correspondence(
            outlets,
            self.world,
            self._cluster,
            clock=self._clock,
            ring=self._ring,
            leads=self._leads,
            knows=self.synced,
        )

    def _leads(self) -> bool:
        return self.leading

    def _reflector(self, cache: Cache, random: Random) -> Reflector:
        return Reflector(
            self._cluster,
            cache,
            self._noticer(cache),
            clock=self._clock,
            random=random,
            namespace=self._options.namespace if cache.kind.namespaced else "",
            essential=cache.kind in ESSENTIAL,
            record=self._record,
        )

    def _show(self) -> None:
        """Have our own metrics read queue and caches."""
        self._record.show_queue(
            depth=lambda: self.queue.depth_count, oldest=lambda: self.queue.oldest_seconds
        )
        for cache in self.world.caches():
            self._record.show_cache(cache.kind, cache.__len__)

    async def run(self) -> None:
        """Watch always, so that a standby is warm; work only while leading."""
        async with asyncio.TaskGroup() as tasks:
            for reflector in self.reflectors:
                tasks.create_task(reflector.run())
            tasks.create_task(self._beat())
            if self._leadership is None:
                tasks.create_task(self._lead(0))
            else:
                tasks.create_task(self._leadership.run(self._lead))

    def unhealthy(self) -> str:
        """Why the loop is stuck, in a sentence; empty when it is not."""
        silent = self._clock.monotonic_seconds() - self.heard_seconds
        if silent > STUCK_SECONDS:
            return f"the loop has not moved for {silent:.0f} s"
        if self.queue.busiest_seconds > STUCK_SECONDS:
            return f"a reconcile has been under way for {self.queue.busiest_seconds:.0f} s"
        return ""

    def unheard_seconds(self) -> float:
        """How long the API server has said nothing on the quietest of the watches that exist."""
        heard = [r.last_heard_seconds for r in self.reflectors if r.present]
        return self._clock.monotonic_seconds() - max(heard, default=self.heard_seconds)

    def synced(self) -> bool:
        """Whether all caches have been filled."""
        return all(reflector.synced.is_set() for reflector in self.reflectors)

    def denied(self) -> tuple[str, ...]:
        """The kinds that our role does not let us read, and without which work goes on."""
        return tuple(cache.kind.kind for cache in self.world.caches() if cache.denied)

    async def _beat(self) -> None:
        while True:
            self.heard_seconds = self._clock.monotonic_seconds()
            await self._clock.sleep(HEARTBEAT_SECONDS)

    async def _lead(self, term: int) -> None:
        """Work until cancelled; begins when all that decisions rest on is known."""
        for reflector in self.reflectors:
            await reflector.synced.wait()
        await self._authorship.look()
        log.info("leads", term=term, rollouts=len(self.world.rollouts))
        self.leading = True
        self._record.leads(leading=True)
        try:
            self._reconciler.begin()
            self.correspondence.begin()
            async with self._alarms.running(self._ring), asyncio.TaskGroup() as tasks:
                self._add_all()
                tasks.create_task(self._telescope.run())
                tasks.create_task(self._hindsight.run())
                tasks.create_task(self._propagations.run())
                tasks.create_task(self._authorship.run())
                tasks.create_task(self.correspondence.run())
                tasks.create_task(self._write_events())
                tasks.create_task(Housekeeper(self._cluster, self.world, self._clock).run())
                for _ in range(self._options.workers_count):
                    tasks.create_task(self._work())
        finally:
            self.leading = False
            self._record.leads(leading=False)

    def _add_all(self) -> None:
        for rollout in self.world.rollouts:
            self._ring(key_of(rollout))

    def _ring(self, key: Key) -> None:
        """Have a key looked at. A full queue asks for all keys once it has room again."""
        self.queue.add(key)

    def _ring_patiently(self, key: Key) -> None:
        """Have a key looked at after those that somebody, or the time, has called for."""
        self.queue.add(key, patient=True)

    def _noticer(self, cache: Cache) -> Notify:
        """What to do about a change in a cache: have the Rollouts looked at that it matters to."""

        def notice(old: Manifest | None, new: Manifest | None) -> None:
            if cache is self.world.actions and _is_answered(new):
                return
            for manifest in (old, new):
                if manifest is not None:
                    for key in self.world.concerned(cache, manifest):
                        self.queue.add(key)
            if cache is self.world.rollouts:
                self._wake_line(old, new)

        return notice

    def _wake_line(self, old: Manifest | None, new: Manifest | None) -> None:
        """Have those looked at that wait for a run of others to end, or for their turn."""
        for key in self._policies.woken_by(old, new):
            self.queue.add(key)

    async def _work(self) -> None:
        """Take keys until there are no more."""
        while (key := await self.queue.get()) is not None:
            begun = self._clock.monotonic_seconds()
            outcome = "crash"
            try:
                result = await self._reconciler.reconcile(key)
                outcome = result.outcome.value
                self._finish(key, result)
            except Exception:
                # A defect of ours in one Rollout must not take the others down with it.
                log.exception("reconcile crashed", rollout=str(key))
                self.queue.retry(key)
            except BaseException:
                self.queue.done(key)
                raise
            finally:
                seconds = self._clock.monotonic_seconds() - begun
                self._record.reconciled(outcome, seconds=seconds)
            # A look that writes nothing waits for nothing: without this, hundreds of them would
            # keep the watches and the timers from having their turn.
            await self._clock.sleep(0)

    def _finish(self, key: Key, result: Result) -> None:
        if result.outcome is Outcome.RETRY:
            self.queue.retry(key, at_least_seconds=result.retry_after_seconds)
        else:
            self.queue.done(key)
        if key not in self.world.rollouts:
            self._record.forget_rollout(key)
            self.correspondence.forget(key)
        elif result.decision is not None:
            self.correspondence.stir(key, result.decision.status)
            run = result.decision.status.run
            self._record.show_rollout(
                key,
                weight_percent=run.weight if run is not None else 0.0,
                phase=str(result.decision.status.phase),
            )

    def _tell(self, event: Event) -> None:
        if self._events.full():
            dropped = self._events.get_nowait()
            log.warning("an Event was dropped: too many wait", name=dropped.name)
        self._events.put_nowait(event)

    async def _write_events(self) -> None:
        """One Event after the other, beside everything else; one that cannot be written is logged.

        A conflict means that it was written before.
        """
        while True:
            event = await self._events.get()
            try:
                await self._cluster.create(EVENT, event.manifest)
            except RolloutError as error:
                log.info("an Event was not written", name=event.name, error=str(error))


def _authorship(
    cluster: Cluster, clock: Clock, options: Options, *, needed: Callable[[], bool]
) -> Authorship:
    return Authorship(
        cluster,
        clock,
        policy=options.identity_policy,
        namespace=options.namespace,
        trusting=options.trust_actors,
        needed=needed,
    )


def _is_answered(new: Manifest | None) -> bool:
    """Whether a change of a command needs no look: it is gone, or it has its answer."""
    return new is None or bool((new.get("status") or {}).get("outcome"))
