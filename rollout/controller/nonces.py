"""What looks at istiod's proxies have found, one after the other: what each was sent and took."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from rollout.ports import Nonces, Proxy, XdsType

SILENT_SECONDS = 3.0
"""A proxy that has not taken what it was sent for so long is named: others take milliseconds."""

NAMED_COUNT_MAX = 3
"""Proxies named in a sentence; of more the number is told."""

ERROR_LENGTH_MAX = 200
"""Characters of a proxy's own words."""

Pair = tuple[str, XdsType]
"""A proxy and a type of configuration."""

Found = Mapping[Pair, Nonces]
"""What one look found."""


@dataclass(slots=True, kw_only=True)
class _Silence:
    """Somebody has not taken what it was sent, and last took this."""

    acked: str
    since_seconds: float


@dataclass(slots=True, kw_only=True)
class Nonced:
    """What looks have found.

    Attributes:
        newest: the nonces of the newest look; empty before the first.
        at_seconds: when that was.
    """

    newest: Found = field(default_factory=dict)
    at_seconds: float = -math.inf
    _moved_seconds: dict[XdsType, float] = field(default_factory=dict)
    _silent: dict[Pair, _Silence] = field(default_factory=dict)

    def learn(self, proxies: Collection[Proxy], *, now: float) -> None:
        """One more look."""
        found = {(p.name, kind): nonces for p in proxies for kind, nonces in p.nonces.items()}
        silent: dict[Pair, _Silence] = {}
        for pair, nonces in found.items():
            if pair not in self.newest or self.newest[pair].sent != nonces.sent:
                self._moved_seconds[pair[1]] = now
            if nonces.sent == nonces.acked:
                continue
            known = self._silent.get(pair)
            if known is None or known.acked != nonces.acked:
                known = _Silence(acked=nonces.acked, since_seconds=now)
            silent[pair] = known
        self._silent = silent
        self.newest, self.at_seconds = found, now

    @property
    def everybody(self) -> str:
        """All proxies there are, in words."""
        count = len({name for name, _ in self.newest})
        return "the only proxy" if count == 1 else f"all {count:,} proxies"

    def of(self, types: Collection[XdsType]) -> Found:
        """The newest nonces of some types."""
        return {pair: nonces for pair, nonces in self.newest.items() if pair[1] in types}

    def moved_seconds(self, types: Collection[XdsType]) -> float:
        """When something of these types was last seen to be sent."""
        moved = (self._moved_seconds.get(kind, -math.inf) for kind in types)
        return max(moved, default=-math.inf)

    def changed(self, types: Collection[XdsType], *, since: Found) -> bool:
        """Whether some proxy was sent something that it had not been sent before."""
        return any(_is_new(pair, nonces, since) for pair, nonces in self.of(types).items())

    def behind(self, types: Collection[XdsType], *, since: Found | None) -> Found:
        """Proxies that have yet to take something that may be what was written.

        What was rejected before the write and was not sent again has nothing to do with it. Some
        endpoints are under way to somebody at any time: those count when a look later they still
        are.

        Args:
            types: what it is given out as.
            since: the nonces before the write; None: it was written long before.
        """
        return {
            pair: nonces
            for pair, nonces in self.of(types).items()
            if nonces.sent != nonces.acked
            and (not nonces.error or since is None or _is_new(pair, nonces, since))
            and (pair[1] is not XdsType.EDS or self._silent[pair].since_seconds < self.at_seconds)
        }

    def named(self, behind: Found) -> str:
        """Those of them that have rejected something or are silent for long, in a sentence."""
        told = [_refusal(pair, nonces) for pair, nonces in behind.items() if nonces.error]
        told += [
            f"{pair[0]} has not acknowledged {pair[1]} for more than {SILENT_SECONDS:g} s"
            for pair, nonces in behind.items()
            if not nonces.error
            and self.at_seconds - self._silent[pair].since_seconds >= SILENT_SECONDS
        ]
        rest = len(told) - NAMED_COUNT_MAX
        return "; ".join(told[:NAMED_COUNT_MAX]) + (f"; and {rest} more" if rest > 0 else "")


def _is_new(pair: Pair, nonces: Nonces, since: Found) -> bool:
    """Whether a proxy was sent something since; one that is new itself tells nothing."""
    before = since.get(pair)
    return before is not None and before.sent != nonces.sent


def _refusal(pair: Pair, nonces: Nonces) -> str:
    error = nonces.error
    if len(error) > ERROR_LENGTH_MAX:
        error = error[: ERROR_LENGTH_MAX - 1] + "…"
    return f"{pair[0]} has rejected {pair[1]}: {error.rstrip('. ')}"
