"""All that the engine may know, frozen at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from rollout.api.action import ActionSpec
from rollout.api.evidence import GateVerdict, RunEvidence
from rollout.api.meta import Key
from rollout.api.notify import News, Sink, Thread
from rollout.api.rollout import RolloutSpec
from rollout.api.status import RolloutStatus
from rollout.api.traffic import Problem, Propagation, Routing, SubsetTable
from rollout.api.webhook import HookResult
from rollout.api.window import Closed
from rollout.engine.turns import Turn


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenAction:
    """A command that has no answer yet.

    Attributes:
        name: name of the RolloutAction.
        spec: the command; None when it cannot be read.
        problem: why it cannot be read; empty when it can.
        given_at: when it was given, as the API server says; None: it does not.
    """

    name: str
    spec: ActionSpec | None
    problem: str = ""
    given_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """Whom to tell, and what has been told.

    Attributes:
        sinks: who is to be told, and of what; None: of everything.
        delivered: messages of the outbox, by number, and who has been told them.
        thread: where the messages of the run stand in Slack, if the status does not know it yet.
    """

    sinks: Mapping[Sink, tuple[News, ...] | None] = field(default_factory=dict)
    delivered: frozenset[tuple[int, Sink]] = frozenset()
    thread: Thread | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One Rollout and what surrounds it.

    Attributes:
        now: the moment.
        key: the Rollout's namespace and name.
        generation: the spec's generation.
        deleting: the Rollout has a deletion timestamp.
        finalized: our finalizer is on it.
        spec: what is wanted; None when it cannot be read or breaks a rule.
        spec_problem: why, in a sentence; empty when ``spec`` is there.
        revision: ``spec.revision`` as written, also when the rest of the spec is wrong.
        policies: those that have a say in the spec, the nearest first.
        closed: what keeps everything from starting and increasing; None: nothing does.
        turn: how it stands to limits of runs at once; None: there is none, or no run is wanted.
        status: where we are.
        routing: the owned routes for the host, the stable and the canary revision.
        subsets: the host's subsets.
        ready: ready endpoints per subset; a subset that is not there has none.
        unread: which objects that may bring endpoints are not seen, in a sentence; empty: none.
        arms_problem: why the revisions' metrics cannot be told apart, if so.
        evidence: what has been counted up to now in the present step; None before the first look.
        verdicts: the gates' verdicts on that evidence.
        metrics_problem: why there is no answer from Prometheus, in a sentence; empty when there is.
        metrics_out_since: since when Prometheus does not answer at all; None: it does, and what it
            has no sample of is told by the verdicts.
        actions: commands without an answer, oldest first.
        unverified: why nobody can tell whether they come from whom they name, in a sentence with
            its remedy; empty when they surely do.
        post: whom to tell of what, and what has been told.
        hooks: what webhooks have said to the present or last run, recorded or not.
        hook_prefixes: how addresses begin that webhooks may have; none: no address may.
        settle_seconds: how long proxies are given to take a change where nobody can tell.
        propagation: what istiod knows of that.
    """

    now: datetime
    key: Key
    generation: int
    deleting: bool = False
    finalized: bool = False
    spec: RolloutSpec | None
    spec_problem: str = ""
    revision: str
    policies: tuple[str, ...] = ()
    closed: Closed | None = None
    turn: Turn | None = None
    status: RolloutStatus
    routing: Routing
    subsets: SubsetTable
    ready: Mapping[str, int]
    unread: str = ""
    arms_problem: Problem | None = None
    evidence: RunEvidence | None = None
    verdicts: tuple[GateVerdict, ...] = ()
    metrics_problem: str = ""
    metrics_out_since: datetime | None = None
    actions: tuple[GivenAction, ...] = ()
    unverified: str = ""
    post: Post = field(default_factory=Post)
    hooks: tuple[HookResult, ...] = ()
    hook_prefixes: tuple[str, ...] = ()
    settle_seconds: float
    propagation: Propagation = field(default_factory=Propagation)
