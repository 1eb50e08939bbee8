"""Writes the questions about the hours before a run: what the stable revision usually does.

Each answer is bounded, whatever the size of the mesh: either a few numbers, or counters of at most
`PODS_MAX` pods on a grid of `GRID_SECONDS`. That is the answer of an instant query too, to a
subquery. What counts as bad, and whose requests do not count, is as in `rollout.analysis.arm`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum

from rollout.analysis import arm, query
from rollout.analysis.arm import Arms

SPAN_SECONDS = 4 * 3600
"""How far to look back: errors an hour ago are as usual as those of now, last week's are not."""

SHORT_SPAN_SECONDS = 3_900
"""How far where that is too much for a server to add up: little more than the least that tells."""

GRID_SECONDS = 60
"""Distance of the points at which counters are read: four scrapes of 15 seconds."""

PODS_MAX = 40
"""Pods asked for, those seen longest: 241 points each are 9,640 points, 0.3 MB; more say little
that these do not."""

DAYS_AGO = (1, 2, 7)
"""Earlier days whose traffic at the same hour foretells today's."""

FORECAST_SECONDS = 3600
"""The hour that is foretold: the next one."""

REQUESTS = "istio_requests_total"
BUCKETS = "istio_request_duration_milliseconds_bucket"

_NO_UPSTREAM = f'response_flags!~"(.*,)?({"|".join(sorted(arm.UPSTREAM_MISSING_FLAGS))})(,.*)?"'
_NOT_GONE = 'response_code="0",response_flags!~"(.*,)?DC(,.*)?"'
_KNOWN = ('response_code!="0"', _NOT_GONE)
_GRPC_BAD = "|".join(sorted(arm.GRPC_BAD, key=int))
_BAD = (
    'response_code=~"5.*"',
    _NOT_GONE,
    f'response_code!~"0|5.*",grpc_response_status=~"{_GRPC_BAD}"',
)


NOW = "time()"
"""Asks for the server's clock, in seconds since 1970."""


class Asked(StrEnum):
    """The questions about the past, as their answers are called."""

    PODS = "pods"
    """Requests and bad ones of each stable pod, minute by minute."""
    BASE = "base"
    """How many requests callers sent to the stable revision, how many were bad, for how long."""
    POD_DURATIONS = "pod durations"
    """Buckets of durations of each stable pod, minute by minute."""
    DURATIONS = "durations"
    """Buckets of durations as callers saw them."""
    EARLIER = "earlier"
    """Traffic in the coming hour, on earlier days."""


class Row(StrEnum):
    """What a series of an answer counts; the label ``asked`` says it."""

    ALL = "all"
    BAD = "bad"
    MINUTES = "minutes"

    # Of pods: all are the answered and the unanswered ones, bad all but the answered ones. Sums of
    # their own are twice as fast for Prometheus as sums over unions of series.
    ANSWERED = "answered"
    UNANSWERED = "unanswered"
    FAILED = "failed"
    GRPC_FAILED = "grpc failed"


_POD_ROWS = {
    Row.ANSWERED: _KNOWN[0],
    Row.UNANSWERED: _NOT_GONE,
    Row.FAILED: _BAD[0],
    Row.GRPC_FAILED: _BAD[2],
}


def questions(
    host: str,
    arms: Arms | None,
    *,
    edges_ms: Iterable[float] = (),
    span_seconds: int = SPAN_SECONDS,
) -> dict[Asked, str]:
    """Instant queries about the past of a service; those about durations only with edges.

    Args:
        host: the service, its full name.
        arms: how its stable revision is told; None: all that the service got is the stable
            revision's, as while no run is on.
        edges_ms: bucket edges in milliseconds above which a request is slow.
        span_seconds: how far to look back.
    """
    own = query.services([host])
    if arms is not None:
        own = f"{own},{arms.label}={query.quote(arms.stable)}"
    at_pods, sent = f"{query.AT_PODS},{own}", f"{query.SENT},{own},{_NO_UPSTREAM}"
    texts = {
        Asked.PODS: _pods(at_pods, span_seconds=span_seconds),
        Asked.BASE: _base(sent, span_seconds=span_seconds),
        Asked.EARLIER: _earlier(host),
    }
    edges = sorted(set(edges_ms))
    if edges:
        within = f"le=~{query.edge_spellings(edges)}"
        texts[Asked.POD_DURATIONS] = _pod_durations(at_pods, within, span_seconds=span_seconds)
        increases = _union(BUCKETS, f"{sent},{within}", _KNOWN, window=f"[{span_seconds}s]")
        texts[Asked.DURATIONS] = f"sum by (le) ({increases})"
    return texts


def _pods(at_pods: str, *, span_seconds: int) -> str:
    rows = " or ".join(
        _named(f"sum by (pod,instance) ({REQUESTS}{{{at_pods},{fate}}})", row)
        for row, fate in _POD_ROWS.items()
    )
    return _on_grid(f"({rows}) {_guard(at_pods, span_seconds)}", span_seconds=span_seconds)


def _pod_durations(at_pods: str, within: str, *, span_seconds: int) -> str:
    buckets = _union(BUCKETS, f"{at_pods},{within}", _KNOWN)
    guarded = f"sum by (pod,instance,le) ({buckets}) {_guard(at_pods, span_seconds)}"
    return _on_grid(guarded, span_seconds=span_seconds)


def _guard(at_pods: str, span_seconds: int) -> str:
    """Keeps the pods that were scraped most often; the same ones at every point of the grid."""
    scrapes = f"count_over_time({REQUESTS}{{{at_pods}}}[{span_seconds}s] @ end())"
    return f"and on (pod,instance) topk({PODS_MAX}, max by (pod,instance) ({scrapes}))"


def _on_grid(expression: str, *, span_seconds: int) -> str:
    return f"({expression})[{span_seconds}s:{GRID_SECONDS}s]"


def _base(sent: str, *, span_seconds: int) -> str:
    """Sums of `increase`: bounded and fast, right to a few per mille, and not for evidence."""
    window = f"[{span_seconds}s]"
    known, bad = (f"sum({_union(REQUESTS, sent, f, window=window)})" for f in (_KNOWN, _BAD))
    there = f"sum({_union(REQUESTS, sent, _KNOWN)})[{span_seconds}s:60s]"
    rows = (
        _named(known, Row.ALL),
        _named(bad, Row.BAD),
        _named(f"count_over_time({there})", Row.MINUTES),
    )
    return " or ".join(rows)


def _earlier(host: str) -> str:
    all_sent = f"{REQUESTS}{{{query.SENT},{query.services([host])}}}[{FORECAST_SECONDS}s]"
    rows = (
        f"sum(increase({all_sent} offset {86_400 * days - FORECAST_SECONDS}s))" for days in DAYS_AGO
    )
    return " or ".join(_named(row, str(days)) for row, days in zip(rows, DAYS_AGO, strict=True))


def _union(metric: str, common: str, fates: Sequence[str], *, window: str = "") -> str:
    """All series with any of the fates, each once; their increase where a window is given."""
    return " or ".join(_selected(metric, common, fates, window=window))


def _selected(metric: str, common: str, fates: Sequence[str], *, window: str) -> Iterator[str]:
    for fate in fates:
        text = f"{metric}{{{common},{fate}}}"
        yield f"increase({text}{window})" if window else text


def _named(expression: str, row: str) -> str:
    return f'label_replace({expression}, "asked", "{row}", "", "")'
