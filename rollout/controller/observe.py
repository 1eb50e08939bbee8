"""From caches and the telescope to one observation; nothing is asked of the API server."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from rollout.analysis.arm import Arms
from rollout.api.meta import DESTINATION_RULE, VIRTUAL_SERVICE, Key, Kind, Manifest
from rollout.api.rollout import Plan, RolloutSpec, Traffic
from rollout.api.status import Run
from rollout.api.traffic import ManagedRoutes, Note, Problem, RouteRef, Routing, SubsetTable
from rollout.base.hosts import fqdn
from rollout.controller import endpoints
from rollout.controller.authorship import Authorship
from rollout.controller.cache import key_of, versions
from rollout.controller.damper import Damper
from rollout.controller.judging import NOT_JUDGED, Judging
from rollout.controller.mailbox import Mailbox
from rollout.controller.parsing import Parsed, Parser
from rollout.controller.policies import Policies
from rollout.controller.refusals import Denial, Refusals
from rollout.controller.surroundings import Lookout, Place
from rollout.controller.world import World
from rollout.engine import plan as plans
from rollout.engine.observation import Observation
from rollout.ports import Clock
from rollout.routes import destinationrule, ownership

FINALIZER = "rollout.dev/return-traffic"
"""On a Rollout while a run is on: deleting it then returns traffic first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """An observation and the Rollout it is of.

    Attributes:
        observation: what is known of it.
        manifest: the Rollout.
        torn: why its status as it stands cannot be read; empty: it can.
        lost: fields of its status that decide about traffic and that nobody knows; see `salvage`.
        look_again_at: when something that is doubted now will be believed; None: nothing is.
    """

    observation: Observation
    manifest: Manifest
    torn: str = ""
    lost: Mapping[str, object] = field(default_factory=dict)
    look_again_at: datetime | None = None


class Observer:
    """Makes observations, and remembers what may not be written."""

    def __init__(
        self,
        world: World,
        judging: Judging,
        clock: Clock,
        *,
        authorship: Authorship,
        mailbox: Mailbox,
        policies: Policies,
        settle_seconds: float,
    ) -> None:
        self._authorship = authorship
        self._mailbox = mailbox
        self._world = world
        self._judging = judging
        self._clock = clock
        self._settle_seconds = settle_seconds
        self._policies = policies
        self._parser = Parser(policies)
        self._arms: dict[Key, tuple[str, Arms]] = {}
        self._routed: dict[Key, tuple[object, Routing]] = {}
        self._managed: dict[Key, tuple[object, tuple[ManagedRoutes, ...]]] = {}
        self._subsetted: dict[Key, tuple[object, SubsetTable]] = {}
        self._refusals = Refusals(world)
        self._damper = Damper()
        self._lookout = Lookout(world)

    def forget_statuses(self) -> None:
        """Another controller may have written since: only what stands there counts."""
        self._parser.clear()

    def remember(self, key: Key, manifest: Manifest) -> None:
        """We wrote a Rollout: should somebody scribble on it, this is what was meant."""
        self._parser.read(key, manifest)

    def forget_run(self, key: Key) -> None:
        """The Rollout's run is over."""
        self._arms.pop(key, None)
        self._judging.forget(key)
        self._damper.forget(key)
        self._refusals.forget_run(key)

    def forget(self, key: Key) -> None:
        """The Rollout is gone."""
        self.forget_run(key)
        self._parser.forget(key)
        self._routed.pop(key, None)
        self._managed.pop(key, None)
        self._subsetted.pop(key, None)
        self._lookout.forget(key)
        self._refusals.forget(key)

    def deny(self, key: Key, target: Key | None, denial: Denial) -> None:
        """Remember what was refused about an object of Istio's, or (None) the Rollout itself."""
        self._refusals.deny(key, target, denial)

    def denial(
        self, key: Key, target: Key | None, *, now: datetime, kind: Kind = VIRTUAL_SERVICE
    ) -> Denial | None:
        """What was refused and would be again; what is worth another try is forgotten."""
        return self._refusals.denial(key, target, now=now, kind=kind)

    def denials(self, key: Key, *, now: datetime) -> list[Denial]:
        """All that was refused for a Rollout and would be again."""
        return self._refusals.all_of(key, now=now)

    def observe(self, key: Key) -> Seen | None:
        """All there is to know of a Rollout now; None when it is gone."""
        manifest = self._world.rollouts.get(key)
        if manifest is None:
            return None
        parsed, now = self._parser.read(key, manifest), self._clock.now()
        run, (host, traffic) = parsed.run, parsed.aim()
        full = fqdn(host, namespace=key.namespace) if host else ""
        spec = manifest.get("spec") or {}
        revision = spec["revision"] if isinstance(spec.get("revision"), str) else ""
        subsets = self._subsets(key, full, traffic, now=now)
        pair = _pair(parsed, revision, namespace=key.namespace)
        arms = self._arms_of(key, full, parsed, subsets, pair=pair)
        sure = arms if isinstance(arms, Arms) else None
        routing = self._routing(key, parsed, full, pair=pair, now=now)
        judged = self._judging.judge(key, run, sure, routing, now=now) if run else NOT_JUDGED
        rival = "" if run else _said_of(self._world.rival_on(full, manifest), full)
        metadata, actions = manifest["metadata"], self._world.given(key)
        near = {ref.namespace for ref in refs_of(traffic, key.namespace)}
        ready, doubted_until = self._ready(key, run, full, subsets, near=near, now=now)
        observation = Observation(
            now=now,
            key=key,
            generation=metadata.get("generation", 0),
            deleting="deletionTimestamp" in metadata,
            finalized=FINALIZER in metadata.get("finalizers", ()),
            spec=None if rival else parsed.spec,
            spec_problem=rival or parsed.spec_problem,
            revision=revision,
            status=parsed.status,
            routing=routing,
            subsets=subsets,
            ready=ready,
            unread=endpoints.unread(self._world),
            arms_problem=arms if isinstance(arms, Problem) else None,
            actions=actions,
            unverified=self._authorship.unverified(actions[0].given_at if actions else None),
            post=self._mailbox.post(key, manifest, parsed.status),
            settle_seconds=self._settle_seconds,
            evidence=judged.evidence,
            verdicts=judged.verdicts,
            metrics_problem=judged.problem,
            metrics_out_since=judged.out_since,
        )
        return Seen(
            observation=self._permitted(observation, parsed, spec),
            manifest=manifest,
            torn=parsed.salvaged.problem,
            lost=parsed.salvaged.lost,
            look_again_at=doubted_until,
        )

    def _permitted(self, o: Observation, parsed: Parsed, spec: Manifest) -> Observation:
        """The same, with what keeps a run from starting or increasing.

        Who wants neither is kept from nothing, and nobody looks.
        """
        is_waiting = parsed.wants_to_run(o.revision)
        if parsed.run is None and not is_waiting:
            return replace(o, policies=parsed.ruling.names)
        is_suspended = spec.get("suspend") is True
        return replace(
            o,
            policies=parsed.ruling.names,
            closed=self._policies.closed(
                o.key, parsed.windows(), suspended=is_suspended, now=o.now
            ),
            turn=self._policies.turn(o.key) if is_waiting else None,
        )

    def _ready(
        self,
        key: Key,
        run: Run | None,
        host: str,
        subsets: SubsetTable,
        *,
        near: Collection[str],
        now: datetime,
    ) -> tuple[Mapping[str, int], datetime | None]:
        """Ready endpoints, without those of a canary that comes and goes; until when it is so.

        Those of the stable revision are as they are: traffic must be able to return.
        """
        ready = endpoints.ready_by_subset(
            self._world, host, subsets, namespace=key.namespace, near=near
        )
        if run is None:
            return ready, None
        canary = run.canary_revision
        serves = ready.get(canary, 0) > 0
        until = self._damper.doubted_until(key, canary, serves=serves, now=now)
        return (ready, None) if until is None else ({**ready, canary: 0}, until)

    def virtual_services(self, key: Key, host: str, traffic: Traffic) -> list[Manifest]:
        """Those VirtualServices that may hold routes of a Rollout, however many others there are.

        Without names it is those of the namespace that have to do with the host, by name, so that
        the order of their arrival does not matter.
        """
        cache = self._world.virtual_services
        if traffic.virtual_services:
            named = (cache.get(Key(r.namespace, r.name)) for r in refs_of(traffic, key.namespace))
            return [manifest for manifest in named if manifest is not None]
        near = (m for m in cache.by("host", host) if m["metadata"]["namespace"] == key.namespace)
        return sorted(near, key=lambda m: str(m["metadata"]["name"]))

    def _routing(
        self, key: Key, parsed: Parsed, host: str, *, pair: tuple[str, str], now: datetime
    ) -> Routing:
        """As the VirtualServices say; read again only when one of them is another version."""
        stable, canary = pair
        plan = parsed.run.plan if parsed.run else parsed.spec
        _, traffic = parsed.aim()
        services = self.virtual_services(key, host, traffic)
        managed = self._managed_ever(key, plan)
        stamp = (host, traffic, pair, managed, versions(services))
        known = self._routed.get(key)
        if known is not None and known[0] == stamp:
            routing = known[1]
        else:
            routing = ownership.select(
                services,
                host=host,
                namespace=key.namespace,
                refs=refs_of(traffic, key.namespace),
                stable=stable or None,
                canary=canary if stable and canary not in {"", stable} else None,
                owner=str(key),
                managed=managed,
            )
            self._routed[key] = (stamp, routing)
        denied = self._refusals.problems(key, now=now, kind=VIRTUAL_SERVICE)
        place = Place(
            key=key, host=host, traffic=traffic, pair=pair, mine=services, manages=bool(managed)
        )
        around = self._lookout.look(place, routing)
        return replace(
            routing,
            problems=(*around.problems, *routing.problems, *denied),
            notes=(*self._world.notes(), *self._untold(key), *routing.notes, *around.notes),
            has_others=routing.has_others or self._is_sent_elsewhere(host, services),
        )

    def _untold(self, key: Key) -> tuple[Note, ...]:
        """Why people are not told of a Rollout what they should be."""
        manifest = self._world.rollouts.get(key)
        return self._mailbox.notes(key, manifest) if manifest is not None else ()

    def _is_sent_elsewhere(self, host: str, mine: Sequence[Manifest]) -> bool:
        """Whether VirtualServices that are not the Rollout's send requests to its host too."""
        known = {key_of(manifest) for manifest in mine}
        return any(key_of(m) not in known for m in self._world.virtual_services.by("host", host))

    def _managed_ever(self, key: Key, plan: Plan | RolloutSpec | None) -> tuple[ManagedRoutes, ...]:
        """See `plan.managed_ever`; found once for each plan that is read."""
        known = self._managed.get(key)
        if known is None or known[0] is not plan:
            found = plans.managed_ever(plan, owner=str(key)) if plan is not None else ()
            known = self._managed[key] = (plan, found)
        return known[1]

    def definition(self, key: Key, host: str, traffic: Traffic, *, subset: str) -> Manifest | None:
        """The DestinationRule that really defines a subset; None: none that can be read."""
        known = self._read_subsets(key, host, traffic).policies.get(subset)
        namespace, _, name = known.destination_rule.partition("/") if known else ("", "", "")
        return self._world.destination_rules.get(Key(namespace, name))

    def _subsets(self, key: Key, host: str, traffic: Traffic, *, now: datetime) -> SubsetTable:
        table = self._read_subsets(key, host, traffic)
        denied = self._refusals.problems(key, now=now, kind=DESTINATION_RULE)
        return replace(table, problems=(*table.problems, *denied)) if denied else table

    def _read_subsets(self, key: Key, host: str, traffic: Traffic) -> SubsetTable:
        """As the DestinationRules say; read again only when one of them is another version."""
        ref = traffic.destination_rule
        rules = self._world.destination_rules.by("host", host)
        stamp = (host, ref, versions(rules))
        known = self._subsetted.get(key)
        if known is not None and known[0] == stamp:
            return known[1]
        table = destinationrule.subsets(
            list(rules),
            host=host,
            namespace=key.namespace,
            service_namespace=endpoints.service_of(host, namespace=key.namespace).namespace,
            ref=(ref.namespace or key.namespace, ref.name) if ref else None,
        )
        self._subsetted[key] = (stamp, table)
        return table

    def _arms_of(
        self, key: Key, host: str, parsed: Parsed, subsets: SubsetTable, *, pair: tuple[str, str]
    ) -> Arms | Problem | None:
        """How the revisions' series differ; kept for the run, since pods may vanish during it."""
        plan, run = parsed.run.plan if parsed.run else parsed.spec, parsed.run
        stable, canary = pair
        if plan is None or not stable or stable == canary:
            return None
        if plan.metrics.arm is not None:
            arm = plan.metrics.arm
            return Arms(label=arm.label, stable=arm.stable, canary=arm.canary)
        kept = self._arms.get(key)
        if run is not None and kept is not None and kept[0] == run.id:
            return kept[1]
        found = endpoints.tell_apart(
            self._world, host, subsets, namespace=key.namespace, stable=stable, canary=canary
        )
        if isinstance(found, Arms) and run is not None:
            self._arms[key] = (run.id, found)
        return None if isinstance(found, Problem) and not plan.gates else found


def refs_of(traffic: Traffic, namespace: str) -> tuple[RouteRef, ...]:
    """The routes a Rollout names, each with its namespace."""
    return tuple(
        RouteRef(namespace=ref.namespace or namespace, name=ref.name, routes=ref.routes)
        for ref in traffic.virtual_services
    )


def _said_of(rival: Key | None, host: str) -> str:
    """Two Rollouts must not shift one host: one goes on, the other is told."""
    if rival is None:
        return ""
    return (
        f"spec.host {host} is shifted by Rollout {rival} already; "
        "delete one of the two, or give this one another host"
    )


def _pair(parsed: Parsed, revision: str, *, namespace: str) -> tuple[str, str]:
    """The stable revision and the one that is, or would be, on trial.

    Nobody knows yet what is stable of a host that has not been taken over.
    """
    if parsed.run is not None:
        return parsed.run.stable_revision, parsed.run.canary_revision
    status, spec = parsed.status, parsed.spec
    if spec is not None and status.host:
        known, wanted = (fqdn(host, namespace=namespace) for host in (status.host, spec.host))
        if known != wanted:
            return "", revision
    return status.stable_revision, revision
