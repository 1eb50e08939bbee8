"""What the command line does with a cluster: read Rollouts, set revisions, give commands, wait.

A command is a RolloutAction that names run and step, so a repeated or late one does nothing. Its
name is made of what it says; that it is there already therefore means that it was said already.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from rollout.api.action import ActionOutcome, ActionSpec, Verb, action_name
from rollout.api.meta import ROLLOUT, ROLLOUT_ACTION, Key, Kind, Manifest
from rollout.api.reading import nearest, read_action
from rollout.api.salvage import read_status
from rollout.api.status import RolloutStatus
from rollout.base import errors
from rollout.ports import Clock, Cluster, Listing, WatchEvent
from rollout.views import refusals
from rollout.views.subject import REASON_ANNOTATION

SELF_SUBJECT_REVIEW = Kind(
    group="authentication.k8s.io",
    version="v1",
    plural="selfsubjectreviews",
    kind="SelfSubjectReview",
)

GROUPS_COUNT_MAX = 64
"""Groups that an action has room for."""

GROUP_LENGTH_MAX = 253
"""Characters that it has room for of each."""

SEQUENCE_MAX = 100
"""How often one person may say the same to one step; answered actions go after an hour."""

TRIES_MAX = 3
"""A create whose answer was lost is said again; the name makes that harmless."""

RETRY_SECONDS = 0.5
"""Between two tries at a server that did not answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Who we are.

    Attributes:
        name: the user's name, as the server knows it.
        groups: all groups that the server counts the user among.
    """

    name: str
    groups: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A command that stands in the cluster.

    Attributes:
        action: the RolloutAction.
        repeated: it was there already.
    """

    action: Manifest
    repeated: bool

    @property
    def key(self) -> Key:
        """The action's key."""
        return key_of(self.action)


def key_of(manifest: Manifest) -> Key:
    """An object's key."""
    return Key(manifest["metadata"].get("namespace", ""), manifest["metadata"]["name"])


class Client:
    """A person's hands on a cluster.

    Attributes:
        cluster: the API server.
        namespace: where names are looked up.
    """

    def __init__(self, cluster: Cluster, *, namespace: str, user: str, clock: Clock) -> None:
        self.namespace = namespace
        self.clock = clock
        self.cluster = cluster
        self._user = user
        self._person: Person | None = None

    # Reading.

    async def rollout(self, name: str) -> Manifest:
        """A Rollout of the namespace.

        Raises:
            UnknownName: there is none; the nearest name is told, if one is near.
        """
        key = Key(self.namespace, name)
        try:
            return await self.cluster.get(ROLLOUT, key)
        except errors.NotFound:
            remedy = self._instead(name, await self.rollouts())
            raise errors.UnknownName(what=f"Rollout {key}", remedy=remedy) from None

    async def rollouts(self, *, everywhere: bool = False) -> tuple[Manifest, ...]:
        """All Rollouts of the namespace, or of the cluster, in order of their keys.

        Raises:
            NotFound: the CRDs are not installed.
        """
        listing = await self.listed("" if everywhere else self.namespace)
        return tuple(sorted(listing.items, key=key_of))

    async def listed(self, namespace: str) -> Listing:
        """The same as the server lists it, with the version from where a watch may begin."""
        try:
            return await self.cluster.list(ROLLOUT, namespace=namespace)
        except errors.NotFound:
            remedy = "install it with `rollout crds | kubectl apply -f -`"
            raise errors.UnknownName(what="the CRD of Rollout", remedy=remedy) from None

    def _instead(self, name: str, others: tuple[Manifest, ...]) -> str:
        names = [key_of(other).name for other in others]
        near = nearest(name, names)
        if near:
            return f"did you mean {near}?"
        if names:
            return f"namespace {self.namespace} has {', '.join(sorted(names)[:10])}"
        return f"namespace {self.namespace} has none; `rollout list -A` shows all"

    async def changes(
        self, manifest: Manifest, kind: Kind = ROLLOUT
    ) -> AsyncGenerator[Manifest, None]:
        """An object's states from the given one on, which comes first; ends when it is deleted.

        Goes on through closed and broken streams and through compaction.
        """
        key, version = key_of(manifest), manifest["metadata"]["resourceVersion"]
        yield manifest
        while True:
            heard = False
            try:
                async with self.watching(kind, key.namespace, version) as events:
                    async for event in events:
                        heard, version = True, event.object["metadata"]["resourceVersion"]
                        if event.type == "BOOKMARK" or key_of(event.object) != key:
                            continue
                        if event.type == "DELETED":
                            return
                        yield event.object
            except errors.Gone:
                manifest = await self.cluster.get(kind, key)
                heard, version = True, manifest["metadata"]["resourceVersion"]
                yield manifest
            except errors.Retry:
                heard = False
            if not heard:
                await self.clock.sleep(RETRY_SECONDS)

    def watching(
        self, kind: Kind, namespace: str, version: str
    ) -> AbstractAsyncContextManager[AsyncIterator[WatchEvent]]:
        """A stream that is closed with its context, not when the garbage is collected."""
        events = self.cluster.watch(kind, namespace=namespace, resource_version=version)
        return contextlib.aclosing(events)

    async def until(
        self, manifest: Manifest, wanted: Callable[[RolloutStatus], bool]
    ) -> Manifest | None:
        """The first state from the given one on whose status is as wanted; None when deleted."""
        async with contextlib.aclosing(self.changes(manifest)) as states:
            async for state in states:
                if wanted(read_status(state).status):
                    return state
        return None

    # Writing.

    async def set_revision(
        self, manifest: Manifest, revision: str, *, reason: str, dry_run: bool = False
    ) -> Manifest:
        """Want another revision; the reason is kept beside it, an old one goes."""
        patch = {
            "metadata": {"annotations": {REASON_ANNOTATION: reason or None}},
            "spec": {"revision": revision},
        }
        written = await self.cluster.patch(ROLLOUT, key_of(manifest), patch, dry_run=dry_run)
        return written.object

    async def person(self) -> Person:
        """Who we are as the server sees it; else the user's name in the kubeconfig."""
        if self._person is None:
            review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
            try:
                written = await self.cluster.create(SELF_SUBJECT_REVIEW, {**review, "metadata": {}})
                told = written.object.get("status", {}).get("userInfo", {})
            except (errors.Terminal, errors.BrokenAnswer):
                told = {}
            name = str(told.get("username") or self._user or "unknown")
            self._person = Person(name=name, groups=tuple(map(str, told.get("groups") or ())))
        return self._person

    async def say(
        self,
        rollout: Manifest,
        verb: Verb,
        *,
        run: str,
        step: int | None,
        reason: str,
        dry_run: bool = False,
    ) -> Said:
        """Give a command; one that was given already and still stands is not given twice.

        Raises:
            OutOfPlace: it was said too often, or the person has no right to say it.
            Denied: the server refuses it for another reason.
        """
        key, person = key_of(rollout), await self.person()
        spec = ActionSpec(
            rollout=key.name,
            run=run,
            step=step,
            verb=verb,
            actor=person.name,
            groups=_groups(person, rollout),
            via="cli",
            reason=reason,
        )
        for sequence in range(1, SEQUENCE_MAX + 1):
            spec = spec.model_copy(update={"sequence": sequence})
            name = action_name(spec, uid=rollout["metadata"]["uid"])
            try:
                wanted = _action(spec, name=name, namespace=key.namespace)
                action = await self._create(wanted, dry_run=dry_run)
            except errors.Conflict:
                existing = await self.cluster.get(ROLLOUT_ACTION, Key(key.namespace, name))
                if _is_same(existing, spec) and _stands(existing, rollout):
                    return Said(action=existing, repeated=True)
            except errors.Denied as denied:
                raise _refusal(denied, spec, key) from denied
            else:
                return Said(action=action, repeated=False)
        why = f"{verb} was said {SEQUENCE_MAX} times already"
        raise errors.OutOfPlace(subject=str(key), why=why, remedy="wait for an hour")

    async def answer(self, said: Said) -> Manifest:
        """The action once it has its answer, in ``status``.

        Raises:
            NotFound: it was deleted before it had one.
        """
        async with contextlib.aclosing(self.changes(said.action, ROLLOUT_ACTION)) as states:
            async for state in states:
                if (state.get("status") or {}).get("outcome"):
                    return state
        gone = f"RolloutAction {said.key}"
        raise errors.NotFound(gone)

    async def _create(self, action: Manifest, *, dry_run: bool) -> Manifest:
        for last in (False,) * (TRIES_MAX - 1) + (True,):
            try:
                written = await self.cluster.create(ROLLOUT_ACTION, action, dry_run=dry_run)
            except errors.Conflict:
                raise
            except errors.Retry:
                if last:
                    raise
                await self.clock.sleep(RETRY_SECONDS)
            else:
                return written.object
        raise AssertionError  # the last try returns or raises


def _action(spec: ActionSpec, *, name: str, namespace: str) -> Manifest:
    return {
        "apiVersion": ROLLOUT_ACTION.api_version,
        "kind": ROLLOUT_ACTION.kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec.model_dump(mode="json", exclude_none=True),
    }


def _groups(person: Person, rollout: Manifest) -> tuple[str, ...]:
    """The person's groups, those first that the plan's approvers are in; the server checks them.

    One that looks like Slack's is left out: the server takes it from nobody but the controller.
    """
    run = read_status(rollout).status.run
    steps = run.plan.strategy.steps if run is not None else ()
    named = {name for s in steps if s.approval is not None for name in s.approval.approvers.groups}
    own = [
        g
        for g in person.groups
        if len(g) <= GROUP_LENGTH_MAX and not g.lower().startswith("slack:")
    ]
    return tuple(sorted(own, key=lambda group: group not in named)[:GROUPS_COUNT_MAX])


def _refusal(denied: errors.Denied, spec: ActionSpec, key: Key) -> errors.RolloutError:
    """A policy's sentence without what the server puts before it; RBAC's in words of our own."""
    sentence = refusals.of_policy(denied)
    if sentence:
        return errors.OutOfPlace(subject=str(key), why=sentence)
    if f'cannot create resource "{ROLLOUT_ACTION.plural}"' not in denied.message:
        return denied
    role = "approver" if spec.verb in {Verb.APPROVE, Verb.REJECT} else "operator"
    return errors.OutOfPlace(
        subject=str(key),
        why=f"{spec.actor} may give no commands in namespace {key.namespace}",
        remedy=f"it takes a role there such as the ClusterRole rollout-{role}",
    )


def _is_same(existing: Manifest, spec: ActionSpec) -> bool:
    """Whether an action says the same; the reason may be told in other words."""
    return read_action(existing).model_copy(update={"reason": spec.reason}) == spec


def _stands(existing: Manifest, rollout: Manifest) -> bool:
    """Whether an action need not be said again: unanswered, or obeyed and still in effect."""
    answered = existing.get("status") or {}
    if not answered.get("outcome"):
        return True
    if answered["outcome"] != ActionOutcome.APPLIED:
        return False
    run = read_status(rollout).status.run
    paused = run is not None and run.paused is not None
    match existing["spec"]["verb"]:
        case Verb.PAUSE:
            return paused
        case Verb.RESUME:
            return not paused
        case _:
            return True
