"""Where the replicas of a Service are: each has proxies of its own, and its address leads to one.

Known from its EndpointSlices, which the controller may list anyway. Where it may not, as with
rights in one namespace only, or where the host is no Service, the resolver's answer has to do: that
is all replicas of a headless Service, and one of any other.
"""

from __future__ import annotations

from collections.abc import Iterator

from rollout.adapters.istiod import all_addresses
from rollout.api.meta import ENDPOINT_SLICE, Key, Manifest
from rollout.base.errors import RolloutError
from rollout.ports import Clock, Cluster

KEPT_SECONDS = 5.0
"""How old a list may be: looks come ten times a second while a run waits, replicas rarely."""

SERVICE_NAME = "kubernetes.io/service-name"


class Replicas:
    """Gives all addresses of a host, as `adapters.istiod` wants them."""

    def __init__(self, cluster: Cluster, clock: Clock) -> None:
        self._cluster = cluster
        self._clock = clock
        self._kept: dict[str, tuple[float, list[str]]] = {}

    async def __call__(self, host: str) -> list[str]:
        """All addresses.

        Raises:
            OSError: the host has none.
        """
        now = self._clock.monotonic_seconds()
        kept_at, kept = self._kept.get(host, (0.0, []))
        if kept and now - kept_at < KEPT_SECONDS:
            return kept
        found = await self._of_service(host) or await all_addresses(host)
        self._kept[host] = now, found
        return found

    async def _of_service(self, host: str) -> list[str]:
        """Those of a Service's endpoints; empty when nobody tells."""
        service = service_of(host)
        if service is None:
            return []
        try:
            listing = await self._cluster.list(ENDPOINT_SLICE, namespace=service.namespace)
        except RolloutError:
            return []
        mine = (
            piece
            for piece in listing.items
            if (piece["metadata"].get("labels") or {}).get(SERVICE_NAME) == service.name
        )
        return sorted({address for piece in mine for address in _serving(piece)})


def service_of(host: str) -> Key | None:
    """The Service that a host of the cluster stands for; None: it is none."""
    labels = host.split(".")
    if len(labels) == 2 or labels[2:3] == ["svc"]:
        return Key(labels[1], labels[0])
    return None


def _serving(piece: Manifest) -> Iterator[str]:
    """Addresses that answer; one that is about to end still has its proxies."""
    for endpoint in piece.get("endpoints") or ():
        conditions = endpoint.get("conditions") or {}
        if conditions.get("serving", conditions.get("ready", True)) is not False:
            yield from endpoint.get("addresses") or ()
