"""What the controller counts about itself: one registry, a bounded number of series.

Every label value comes from a short list that is known in advance, and every series of that list
exists from the start: ``rate()`` of a counter that is born with its first error misses that error.
The exception is two gauges per Rollout, which go when it goes.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

from rollout.analysis.query import Shape
from rollout.api import meta
from rollout.api.meta import Key, Kind

OUTCOMES = ("done", "look_again", "retry", "terminal", "crash")
"""How a reconcile ends: settled, to be woken at a time, backed off, refused for good, our bug."""

CODES = ("2xx", "404", "409", "410", "429", "4xx", "5xx", "none")
"""How the API server answers; ``none`` when it does not."""

QUERY_OUTCOMES = ("ok", "unreachable", "overloaded", "broken", "refused")
RESTART_REASONS = ("closed", "broken", "gone", "absent", "denied", "crash")

LOOK_OUTCOMES = ("ok", "failed")
"""How istiod answers when asked for its proxies."""

QUERY_SHAPES = (*(str(shape) for shape in Shape), "custom", "past")
"""What is asked of Prometheus: one shape is one grouped query for all Rollouts."""

ROLLOUT_COUNT_MAX = 10_000
"""Rollouts with gauges of their own; more would be a burden to whoever scrapes us."""

_READ = ("list", "watch")
_ASKED: tuple[tuple[Kind, tuple[str, ...]], ...] = (
    (meta.ROLLOUT, (*_READ, "get", "patch")),
    (meta.ROLLOUT_ACTION, (*_READ, "create", "patch", "delete")),
    (meta.VIRTUAL_SERVICE, (*_READ, "get", "create", "patch", "delete")),
    (meta.DESTINATION_RULE, (*_READ, "get", "create", "patch", "delete")),
    (meta.WORKLOAD_ENTRY, _READ),
    (meta.SERVICE, _READ),
    (meta.SERVICE_ENTRY, _READ),
    (meta.ENDPOINT_SLICE, _READ),
    (meta.POD, _READ),
    (meta.EVENT, ("create",)),
    (meta.LEASE, ("get", "create", "replace")),
)
_RECONCILE_SECONDS = (0.001, 0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_PROPAGATION_SECONDS = (0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_REQUEST_SECONDS = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class Record:
    """The controller's own metrics; one for a process.

    Attributes:
        registry: where they stand; the process-wide default registry stays out of it.
    """

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self._shown: dict[Key, str] = {}
        self._reconciles = self._counter("rollout_reconciles", "Reconciles by outcome.", "outcome")
        self._reconcile_seconds = Histogram(
            "rollout_reconcile_seconds",
            "How long a reconcile took.",
            buckets=_RECONCILE_SECONDS,
            registry=self.registry,
        )
        self._requests = self._counter(
            "rollout_api_requests", "Requests to the API server.", "verb", "kind", "code"
        )
        self._request_seconds = Histogram(
            "rollout_api_request_seconds",
            "How long the API server took, watches aside.",
            ["verb"],
            buckets=_REQUEST_SECONDS,
            registry=self.registry,
        )
        self._queries = self._counter(
            "rollout_prometheus_queries", "Queries to Prometheus.", "shape", "outcome"
        )
        self._looks = self._counter(
            "rollout_istiod_looks", "Questions to istiod about all of its proxies.", "outcome"
        )
        self._propagation_seconds = Histogram(
            "rollout_propagation_seconds",
            "From a write, or the start of a run, until all proxies were known to have it.",
            buckets=_PROPAGATION_SECONDS,
            registry=self.registry,
        )
        self._restarts = self._counter(
            "rollout_watch_restarts", "Ends of watches by reason.", "kind", "reason"
        )
        self._leader = self._gauge("rollout_leader", "1 while this replica leads.")
        self._depth = self._gauge("rollout_queue_depth", "Keys that wait for a worker.")
        self._oldest = self._gauge(
            "rollout_queue_oldest_seconds", "How long the first of them has been waiting."
        )
        self._objects = self._gauge("rollout_cached_objects", "Objects in the caches.", "kind")
        self._weight = self._gauge(
            "rollout_weight_percent", "Traffic that goes to the canary.", "namespace", "name"
        )
        self._phase = self._gauge(
            "rollout_phase", "1 for the present phase.", "namespace", "name", "phase"
        )
        self._begin_all()

    def reconciled(self, outcome: str, *, seconds: float) -> None:
        """A reconcile ended in one of `OUTCOMES`."""
        assert outcome in OUTCOMES, outcome
        self._reconciles.labels(outcome).inc()
        self._reconcile_seconds.observe(seconds)

    def asked_api(self, verb: str, kind: Kind, status_code: int, seconds: float) -> None:
        """The API server answered with an HTTP status, or 0 when it did not."""
        self._requests.labels(verb, kind.plural, _code(status_code)).inc()
        if verb != "watch":
            self._request_seconds.labels(verb).observe(seconds)

    def asked_prometheus(self, shape: str, outcome: str) -> None:
        """Prometheus answered a query of one of `QUERY_SHAPES` in one of `QUERY_OUTCOMES`."""
        assert shape in QUERY_SHAPES, shape
        assert outcome in QUERY_OUTCOMES, outcome
        self._queries.labels(shape, outcome).inc()

    def asked_istiod(self, outcome: str) -> None:
        """One of `LOOK_OUTCOMES` came of a question to istiod."""
        assert outcome in LOOK_OUTCOMES, outcome
        self._looks.labels(outcome).inc()

    def propagated(self, *, seconds: float) -> None:
        """All proxies were seen to have taken something so long after it was written."""
        self._propagation_seconds.observe(seconds)

    def watch_ended(self, kind: Kind, reason: str) -> None:
        """A watch ended for one of `RESTART_REASONS`."""
        assert reason in RESTART_REASONS, reason
        self._restarts.labels(kind.plural, reason).inc()

    def leads(self, *, leading: bool) -> None:
        """Whether this replica leads now."""
        self._leader.set(1 if leading else 0)

    def show_queue(self, *, depth: Callable[[], float], oldest: Callable[[], float]) -> None:
        """Where to ask, at each scrape, for the depth and the age of the head in seconds."""
        self._depth.set_function(depth)
        self._oldest.set_function(oldest)

    def show_cache(self, kind: Kind, size: Callable[[], float]) -> None:
        """Where to ask, at each scrape, for the number of cached objects of a kind."""
        self._objects.labels(kind.plural).set_function(size)

    def show_rollout(self, key: Key, *, weight_percent: float, phase: str) -> None:
        """A Rollout's present weight and phase."""
        shown = self._shown.get(key)
        if shown is None and len(self._shown) >= ROLLOUT_COUNT_MAX:
            return
        if shown is not None and shown != phase:
            self._phase.remove(key.namespace, key.name, shown)
        self._shown[key] = phase
        self._phase.labels(key.namespace, key.name, phase).set(1)
        self._weight.labels(key.namespace, key.name).set(weight_percent)

    def forget_rollout(self, key: Key) -> None:
        """A Rollout is gone, and so are its series."""
        shown = self._shown.pop(key, None)
        if shown is not None:
            self._phase.remove(key.namespace, key.name, shown)
            self._weight.remove(key.namespace, key.name)

    def render(self) -> bytes:
        """All metrics in the Prometheus text format."""
        return generate_latest(self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, registry=self.registry)

    def _begin_all(self) -> None:
        for outcome in OUTCOMES:
            self._reconciles.labels(outcome)
        for kind, verbs in _ASKED:
            for verb in verbs:
                self._request_seconds.labels(verb)
                for code in CODES:
                    self._requests.labels(verb, kind.plural, code)
            for reason in RESTART_REASONS if "watch" in verbs else ():
                self._restarts.labels(kind.plural, reason)
        for shape, outcome in product(QUERY_SHAPES, QUERY_OUTCOMES):
            self._queries.labels(shape, outcome)
        for outcome in LOOK_OUTCOMES:
            self._looks.labels(outcome)


def _code(status_code: int) -> str:
    exact = str(status_code)
    if exact in CODES:
        return exact
    hundreds = f"{status_code // 100}xx"
    return hundreds if hundreds in CODES else "none"
