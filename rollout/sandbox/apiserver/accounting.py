"""Accounting: who asked for what, how often, and how many bytes went in and out."""

from __future__ import annotations

from dataclasses import dataclass, field

from rollout.sandbox.apiserver.trees import Json
from rollout.sandbox.apiserver.watches import Watcher

ROW_LIMIT_COUNT = 2_000  # distinct (agent, verb, resource); the rest is counted under one name

_OTHER = ("other", "other", "other")


@dataclass(slots=True)
class Row:
    """One line of the account.

    Attributes:
        requests_count: requests answered (for watches: opened).
        refused_count: of these, answered with 4xx or 5xx.
        in_bytes: bodies received.
        out_bytes: bodies sent.
        events_count: watch events sent.
    """

    requests_count: int = 0
    refused_count: int = 0
    in_bytes: int = 0
    out_bytes: int = 0
    events_count: int = 0


@dataclass(slots=True)
class Account:
    """Counters by (user agent, verb, resource)."""

    rows: dict[tuple[str, str, str], Row] = field(default_factory=dict)

    def row(self, agent: str, verb: str, resource: str) -> Row:
        """Return the counters of one line."""
        key = (agent, verb, resource)
        found = self.rows.get(key)
        if found is None:
            if len(self.rows) >= ROW_LIMIT_COUNT:
                key = _OTHER
            found = self.rows.setdefault(key, Row())
        return found

    def report(self) -> Json:
        """Return everything counted since the last reset, busiest first."""
        ordered = sorted(self.rows.items(), key=lambda one: -one[1].requests_count)
        plain, watched = [], []
        for (agent, verb, resource), row in ordered:
            line: Json = {"agent": agent, "verb": verb, "resource": resource}
            if verb == "watch":
                line |= {"opened": row.requests_count, "events": row.events_count}
                watched.append(line | {"bytesOut": row.out_bytes})
            else:
                line |= {"requests": row.requests_count, "refused": row.refused_count}
                plain.append(line | {"bytesIn": row.in_bytes, "bytesOut": row.out_bytes})
        return {"requests": plain, "watches": watched}

    def reset(self) -> None:
        """Begin anew."""
        self.rows.clear()


def resource_name(watcher: Watcher) -> str:
    """Name the resource of a watch as the account does."""
    return watcher.call.resource.label.resource


def open_watches(watchers: set[Watcher]) -> list[Json]:
    """Describe the open watches, oldest first."""
    return [
        {
            "agent": one.call.agent,
            "resource": resource_name(one),
            "namespace": one.call.namespace,
            "query": dict(one.call.query),
            "events": one.tally.events_count,
            "bytesOut": one.tally.bytes_count,
        }
        for one in sorted(watchers, key=lambda one: one.number)
    ]
