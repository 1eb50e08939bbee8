"""An istiod in memory: it gathers changes for a while, sends them to its proxies, hears of each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from rollout.api.meta import DESTINATION_RULE, ENDPOINT_SLICE, VIRTUAL_SERVICE, Kind
from rollout.base.errors import Unreachable
from rollout.ports import Clock, Nonces, Proxy, XdsType

SERVER = "istiod"

DEBOUNCE_SECONDS = 0.1
"""As Istio's default."""

SENT_FOR: Mapping[str, tuple[XdsType, ...]] = {
    VIRTUAL_SERVICE.plural: (XdsType.CDS, XdsType.EDS, XdsType.LDS, XdsType.RDS),
    DESTINATION_RULE.plural: (XdsType.CDS, XdsType.EDS, XdsType.RDS),
    ENDPOINT_SLICE.plural: (XdsType.EDS,),
}
"""What proxies are sent when an object of a kind changes, much as with a real istiod."""


@dataclass(kw_only=True)
class FakeMesh:
    """A ports.Mesh.

    Attributes:
        frozen: proxies that take nothing and say nothing.
        rejecting: what a proxy says to each type that it rejects.
        restless: types of which every proxy has been sent more at each look, and one of them, each
            time another, has yet to take it.
        problem: why istiod does not answer; empty: it does.
        debounce_seconds: how long it gathers changes.
        dates: whether its nonces tell when their push began.
        deaf: whether changes of objects are none for its proxies.
        looks_at: when it was asked.
    """

    clock: Clock
    names: Sequence[str] = ("client-1.shop", "gateway-1.istio-system")
    frozen: set[str] = field(default_factory=set)
    rejecting: dict[tuple[str, XdsType], str] = field(default_factory=dict)
    restless: tuple[XdsType, ...] = ()
    problem: str = ""
    debounce_seconds: float = DEBOUNCE_SECONDS
    dates: bool = True
    deaf: bool = False
    looks_at: list[float] = field(default_factory=list)
    _nonces: dict[tuple[str, XdsType], Nonces] = field(default_factory=dict)
    _due: list[tuple[float, tuple[XdsType, ...]]] = field(default_factory=list)
    _pushes: int = 0
    _began: dict[str, float] = field(default_factory=lambda: {"0": -100.0})
    _newest: str = "0"

    def __post_init__(self) -> None:
        for name in self.names:
            for kind in XdsType:
                self._nonces[name, kind] = Nonces(sent="0", acked="0")

    def heard(self, kind: Kind) -> None:
        """An object has changed."""
        types = SENT_FOR.get(kind.plural)
        if types is not None and not self.deaf:
            self._due.append((self.clock.monotonic_seconds() + self.debounce_seconds, types))

    def push(
        self, *types: XdsType, to: Sequence[str] = (), began_seconds: float | None = None
    ) -> None:
        """Send something new to some proxies, or to all, now."""
        now = self.clock.monotonic_seconds()
        self._newest = self._nonce(began=now if began_seconds is None else began_seconds)
        for name in to or self.names:
            for kind in types:
                known = self._nonces[name, kind]
                self._nonces[name, kind] = replace(known, sent=self._newest)

    def connect_again(self, name: str) -> None:
        """A proxy connects anew, and takes what istiod's newest push was made of."""
        nonce = self._nonce(began=self._began[self._newest])
        for kind in XdsType:
            self._nonces[name, kind] = Nonces(sent=nonce, acked=nonce)

    def _nonce(self, *, began: float) -> str:
        self._pushes += 1
        nonce = str(self._pushes)
        self._began[nonce] = began
        return nonce

    async def proxies(self) -> tuple[Proxy, ...]:
        """All proxies as they are now."""
        now = self.clock.monotonic_seconds()
        self.looks_at.append(now)
        if self.problem:
            raise Unreachable(SERVER, why=self.problem)
        for at, types in [due for due in self._due if due[0] <= now]:
            self._due.remove((at, types))
            self.push(*types, began_seconds=at)
        for pair, known in self._nonces.items():
            self._nonces[pair] = self._answered(pair, known)
        for kind in self.restless:
            self.push(kind)
            late = self.names[len(self.looks_at) % len(self.names)]
            for pair, known in self._nonces.items():
                if pair[1] is kind and pair[0] != late:
                    self._nonces[pair] = self._answered(pair, known)
        return tuple(
            Proxy(name=name, nonces={k: self._aged(self._nonces[name, k]) for k in XdsType})
            for name in self.names
        )

    def _aged(self, nonces: Nonces) -> Nonces:
        return replace(
            nonces,
            sent_age_seconds=self._age_seconds(nonces.sent),
            acked_age_seconds=self._age_seconds(nonces.acked),
        )

    def _age_seconds(self, nonce: str) -> float | None:
        """To the second, as both ends of it are told."""
        began = self._began.get(nonce)
        if began is None or not self.dates:
            return None
        return math.floor(self.clock.monotonic_seconds()) - math.floor(began)

    def _answered(self, pair: tuple[str, XdsType], known: Nonces) -> Nonces:
        if pair[0] in self.frozen or known.sent == known.acked:
            return known
        if pair in self.rejecting:
            return replace(known, error=self.rejecting[pair])
        return Nonces(sent=known.sent, acked=known.sent)

    async def close(self) -> None:
        """Nothing is held."""
