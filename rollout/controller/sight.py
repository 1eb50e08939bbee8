"""What a run wants to see of Prometheus, and what was last seen for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rollout.analysis.query import Shape
from rollout.analysis.sample import NoAnswer, Series
from rollout.controller.asking import Document


@dataclass(frozen=True, slots=True, kw_only=True)
class Own:
    """One of a run's own queries.

    Attributes:
        text: the query, filled in.
        at_ms: the time to ask about, on Prometheus' clock; None: its now.
    """

    text: str
    at_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a run wants to see next.

    Attributes:
        host: the service, its full name.
        edges_ms: bucket edges of its latency gates; empty: no durations are asked for.
        tcp: whether connections are asked for.
        arrivals: whether what arrived at the pods is asked for.
        arrival_edges_ms: bucket edges to ask the pods' own proxies for.
        queries: its own queries, by a name that the answer will have.
        since_ms: what must be in the window, in milliseconds on Prometheus' clock; 0: anything.
        next_ms: when the next sample is due, on Prometheus' clock; None: not known.
        seen_ms: the newest stamp that was used before; what is older is no news after a restart.
        about: run and step its own queries are about; answers about another step are dropped.
    """

    host: str
    edges_ms: tuple[float, ...] = ()
    tcp: bool = False
    arrivals: bool = False
    arrival_edges_ms: tuple[float, ...] = ()
    queries: Mapping[str, Own] = field(default_factory=dict)
    since_ms: int = 0
    next_ms: int | None = None
    seen_ms: int = 0
    about: tuple[object, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What was last seen for a run.

    Attributes:
        answers: the service's series by shape; only of shapes that were answered.
        documents: answers to the run's own queries, by name.
        about: run and step that the documents are about.
        age: that the documents are out of date, in a sentence; empty when they are not.
        problem: why there is no good answer, in a sentence; empty when there is.
        is_out: whether that is because Prometheus does not answer, or answers an error.
        doubt: why what is known is not enough, though nothing is wrong yet: nothing new was seen
            since the start. Empty when something was.
    """

    answers: Mapping[Shape, Sequence[Series]] = field(default_factory=dict)
    documents: Mapping[str, Document | NoAnswer] = field(default_factory=dict)
    about: tuple[object, ...] = ()
    age: str = ""
    problem: str = ""
    is_out: bool = False
    doubt: str = ""
