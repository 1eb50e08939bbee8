"""Writes the texts of our questions in PromQL, and fills in those of users; quotes safely.

Our own questions ask for raw samples (`x[window]`), batched over services: cost follows the series
returned, not the hosts named, and one query per service costs several times more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum

from rollout.base.errors import BadManifest

HOSTS_PER_QUERY_MAX = 250
"""Hosts in one matcher: Prometheus 3 optimises sets of up to 256 alternatives."""

WINDOW_SECONDS_MAX = 3600
"""The longest look back: what is older than an hour only becomes a base, and bounds the answer."""

LOOKBACK_INTERVALS = 3
"""Scrape intervals asked for before what is known, so that every series shows its base sample."""

EDGES_MS = (
    *(0.5, 1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1_000.0, 2_500.0, 5_000.0, 10_000.0),
    *(30_000.0, 60_000.0, 300_000.0, 600_000.0, 1_800_000.0, 3_600_000.0),
)
"""The bucket edges of Istio's duration histogram, in milliseconds."""

_HOST = re.compile(r"(?=.{1,253}$)[a-z0-9_*]([-a-z0-9_.]*[a-z0-9])?", re.ASCII)
_PLACEHOLDER = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_QUOTED_OR_COMMENT = re.compile(
    r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|`[^`]*`|#[^\n]*', re.DOTALL
)
_BARE = re.compile(r"[A-Za-z0-9_:.]+")

SENT = 'reporter=~"source|waypoint"'
"""The matcher of what callers' proxies and waypoints saw."""

AT_PODS = 'reporter="destination"'
"""The matcher of what the pods' own proxies saw."""


class Shape(StrEnum):
    """The kinds of question that we ask Prometheus ourselves.

    The last two are asked of the pods' own proxies, the others of their callers'.
    """

    REQUESTS = "requests"
    DURATIONS = "durations"
    TCP = "tcp"
    ARRIVALS = "arrivals"
    ARRIVAL_DURATIONS = "arrival_durations"


ARRIVED = frozenset({Shape.ARRIVALS, Shape.ARRIVAL_DURATIONS})
"""Questions about what arrived: every attempt of a retried request, and mirrored requests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One query and whom it is about.

    Attributes:
        shape: what is asked.
        hosts: the services whose series the answer holds, full names.
        promql: the text.
    """

    shape: Shape
    hosts: tuple[str, ...]
    promql: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Variables:
    """What a user's query may name in ``{{ … }}``.

    Attributes:
        window: the time since the step began, a PromQL duration such as ``95s``.
        revision: the revision the query is asked about.
        stable: the stable revision.
        canary: the revision on trial.
        host: the service's full name.
        namespace: the Rollout's.
        weight: percent of traffic written for the canary.
        step: the step, counted from 1.
        name: the Rollout's.
    """

    window: str
    revision: str
    stable: str
    canary: str
    host: str
    namespace: str
    weight: str
    step: str
    name: str


def window_seconds(*, through_ms: int, until_ms: int, interval_ms: int) -> int:
    """The window that shows everything after ``through_ms`` and a base before it, in seconds.

    At least the look-back alone, at most an hour; stamps and interval are milliseconds.
    """
    span_ms = max(0, until_ms - through_ms) + LOOKBACK_INTERVALS * interval_ms
    return min(WINDOW_SECONDS_MAX, max(1, -(-span_ms // 1000)))


def edge_below(max_ms: float) -> float:
    """The bucket edge at or next below a duration, both in milliseconds.

    Raises:
        BadManifest: when the duration is below the lowest edge, where nothing can be seen.
    """
    edges = [edge for edge in EDGES_MS if edge <= max_ms]
    if not edges:
        raise BadManifest(
            field="latency.max",
            problem=f"is {max_ms:g} ms, below the lowest bucket edge of {EDGES_MS[0]:g} ms",
            remedy="use at least 1ms",
        )
    return edges[-1]


def requests(hosts: Iterable[str], *, window_seconds: int) -> tuple[Question, ...]:
    """All requests to services, as their callers' proxies and waypoints saw them."""
    return tuple(
        Question(
            shape=Shape.REQUESTS,
            hosts=batch,
            promql=f"istio_requests_total{{{SENT},{services(batch)}}}[{window_seconds}s]",
        )
        for batch in _batches(hosts)
    )


def arrivals(hosts: Iterable[str], *, window_seconds: int) -> tuple[Question, ...]:
    """All requests that arrived at services' pods, as the pods' own proxies saw them.

    Each attempt of a retried request is one of them, and so is a mirrored one; what never reached
    a pod is not. A try that its caller gave up counts there as a client that went away.
    """
    return tuple(
        Question(
            shape=Shape.ARRIVALS,
            hosts=batch,
            promql=f"istio_requests_total{{{AT_PODS},{services(batch)}}}[{window_seconds}s]",
        )
        for batch in _batches(hosts)
    )


def durations(
    edges_ms_by_host: Mapping[str, Iterable[float]],
    *,
    window_seconds: int,
    shape: Shape = Shape.DURATIONS,
) -> tuple[Question, ...]:
    """The buckets of services' durations at given edges and at infinity; of either shape.

    Services with the same edges share a query. Each edge is asked for in the spelling of Envoy
    (``250``) and in those of Prometheus 3 (``250.0``, ``1.8e+06``).
    """
    reporter = AT_PODS if shape in ARRIVED else SENT
    hosts_by_edges: dict[tuple[float, ...], list[str]] = {}
    for host, edges_ms in edges_ms_by_host.items():
        hosts_by_edges.setdefault(tuple(sorted(set(edges_ms))), []).append(host)
    return tuple(
        Question(
            shape=shape,
            hosts=batch,
            promql=(
                f"istio_request_duration_milliseconds_bucket"
                f"{{{reporter},{services(batch)},le=~{edge_spellings(edges_ms)}}}[{window_seconds}s]"
            ),
        )
        for edges_ms, hosts in sorted(hosts_by_edges.items())
        for batch in _batches(hosts)
    )


def tcp(hosts: Iterable[str], *, window_seconds: int) -> tuple[Question, ...]:
    """Connections opened to services, and closed, with the flags that say whether they failed."""
    names = '__name__=~"istio_tcp_connections_(opened|closed)_total"'
    return tuple(
        Question(
            shape=Shape.TCP,
            hosts=batch,
            promql=f"{{{names},{SENT},{services(batch)}}}[{window_seconds}s]",
        )
        for batch in _batches(hosts)
    )


def _batches(hosts: Iterable[str]) -> Iterator[tuple[str, ...]]:
    known = sorted(set(hosts))
    for begin in range(0, len(known), HOSTS_PER_QUERY_MAX):
        yield tuple(known[begin : begin + HOSTS_PER_QUERY_MAX])


def services(hosts: Iterable[str]) -> str:
    """The matcher of the series that are about services.

    Raises:
        BadManifest: one of them is no DNS name.
    """
    hosts = tuple(hosts)
    for host in hosts:
        if not _HOST.fullmatch(host):
            raise BadManifest(
                field="host",
                problem=f"{host!r} is no DNS name",
                remedy="name a service in the mesh",
            )
    return f"destination_service=~{quote('|'.join(re.escape(host) for host in hosts))}"


def edge_spellings(edges_ms: Iterable[float]) -> str:
    """The value that matches the label ``le`` of buckets at edges in milliseconds and at infinity.

    Each edge in the spelling of Envoy (``250``) and in those of Prometheus 3 (``250.0``).
    """
    spellings = [spelling for edge in edges_ms for spelling in _spellings(edge)]
    return quote("|".join(re.escape(text) for text in (*spellings, "+Inf")))


def _spellings(edge_ms: float) -> list[str]:
    plain = str(int(edge_ms)) if edge_ms == int(edge_ms) else repr(edge_ms)
    with_point = plain if "." in plain else f"{plain}.0"
    return list(dict.fromkeys((plain, with_point, f"{edge_ms:g}")))


def quote(text: str) -> str:
    """A PromQL string with this value, whatever it holds."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def variable_names() -> tuple[str, ...]:
    """What may stand in ``{{ … }}``."""
    return tuple(field.name for field in fields(Variables))


def render(template: str, variables: Variables) -> str:
    """A user's query with its variables filled in.

    Inside a PromQL string any value stays a value; elsewhere only what cannot be read as more than
    one word or number is let in.

    Raises:
        BadManifest: an unknown variable, one that is not closed, or a value that needs quotes.
    """
    pieces = []
    end = 0
    for literal in _QUOTED_OR_COMMENT.finditer(template):
        pieces.append(_fill(template[end : literal.start()], variables, quoted=False))
        pieces.append(_fill(literal.group(), variables, quoted=True))
        end = literal.end()
    pieces.append(_fill(template[end:], variables, quoted=False))
    return "".join(pieces)


def render_pair(template: str, variables: Variables) -> tuple[str, str]:
    """A user's query about the canary, and the same about the stable revision.

    Raises:
        BadManifest: as `render`, and when both are the same text: their ratio would always be 1.
    """
    canary = render(template, replace(variables, revision=variables.canary))
    stable = render(template, replace(variables, revision=variables.stable))
    if canary == stable:
        raise BadManifest(
            field="query.promql",
            problem="asks the same of both revisions, so relativeTo would always compare equals",
            remedy="use {{ revision }} where the query selects a revision",
        )
    return canary, stable


def render_itself(template: str, variables: Variables) -> tuple[str, str] | None:
    """A user's query that compares with stable by itself, comparing each with its own self.

    The first, of the canary, has a number as soon as the canary has, whatever the stable revision
    gets; the second, of the stable revision, has none while that has none. None: the query names no
    ``{{ stable }}``.

    Raises:
        BadManifest: as `render`.
    """
    if all(match.group(1).strip() != "stable" for match in _PLACEHOLDER.finditer(template)):
        return None
    canary, stable = (
        render(template, replace(variables, revision=one, canary=one, stable=one))
        for one in (variables.canary, variables.stable)
    )
    return canary, stable


_RANGE = re.compile(r"\[\s*((?:\d+(?:ms|[smhdwy]))+)\s*[:\]]")
_PART = re.compile(r"(\d+)(ms|[smhdwy])")
_UNIT_SECONDS = {
    "ms": 0.001,
    "s": 1.0,
    "m": 60.0,
    "h": 3_600.0,
    "d": 86_400.0,
    "w": 604_800.0,
    "y": 31_536_000.0,
}
"""PromQL's units of time; a year has 365 days."""


def lookback_seconds(template: str) -> float:
    """The longest range in a user's query, ``[5m]`` or ``[1h:30s]``; 0 where none is written out.

    Ranges within ranges add up in truth; the longest is what can be told without reading PromQL.
    """
    bare = _QUOTED_OR_COMMENT.sub("", template)
    return max(
        (
            sum(int(number) * _UNIT_SECONDS[unit] for number, unit in _PART.findall(found))
            for found in _RANGE.findall(bare)
        ),
        default=0.0,
    )


def _fill(text: str, variables: Variables, *, quoted: bool) -> str:
    def value_of(match: re.Match[str]) -> str:
        name = match.group(1).strip()
        if name not in variable_names():
            raise BadManifest(
                field="query.promql",
                problem=f"names an unknown variable {name!r}",
                remedy=f"use one of {', '.join(variable_names())}",
            )
        value: str = getattr(variables, name)
        return _escape(value) if quoted else _bare(name, value)

    filled = _PLACEHOLDER.sub(value_of, text)
    if "{{" in _PLACEHOLDER.sub("", text):
        raise BadManifest(
            field="query.promql", problem="opens {{ without closing it", remedy="close it with }}"
        )
    return filled


def _escape(value: str) -> str:
    """Escapes that mean the same in both kinds of PromQL string, and cannot end a raw one."""
    escaped = value.replace("\\", "\\\\").replace("\n", "\\n")
    return escaped.replace('"', "\\x22").replace("'", "\\x27").replace("`", "\\x60")


def _bare(name: str, value: str) -> str:
    if not _BARE.fullmatch(value):
        raise BadManifest(
            field="query.promql",
            problem=f"uses {{{{ {name} }}}} outside quotes, where {value!r} would be code",
            remedy="put it between quotes",
        )
    return value
