"""What is read of many objects at once: all Rollouts as they change, and the subsets of a host."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Mapping, Sequence

from rollout.api.meta import DESTINATION_RULE, ROLLOUT, Key, Manifest
from rollout.base import errors, hosts
from rollout.ports import WatchEvent
from rollout.wiring.client import RETRY_SECONDS, Client, key_of


async def roll_calls(
    client: Client, *, everywhere: bool = False
) -> AsyncGenerator[Mapping[Key, Manifest], None]:
    """All Rollouts in order of their keys, again whenever one of them changes; without end.

    Goes on through closed and broken streams, through compaction and while the server is away, but
    begins only where it answers.
    """
    namespace = "" if everywhere else client.namespace
    listing = await client.listed(namespace)
    while True:
        known = {key_of(one): one for one in sorted(listing.items, key=key_of)}
        yield known
        with contextlib.suppress(errors.Gone, errors.Retry):
            async with client.watching(ROLLOUT, namespace, listing.resource_version) as events:
                async for event in events:
                    if event.type != "BOOKMARK":
                        known = _after(known, event)
                        yield known
        await client.clock.sleep(RETRY_SECONDS)
        with contextlib.suppress(errors.Retry):
            listing = await client.listed(namespace)


def _after(known: Mapping[Key, Manifest], event: WatchEvent) -> dict[Key, Manifest]:
    key = key_of(event.object)
    others = {other: manifest for other, manifest in known.items() if other != key}
    if event.type == "DELETED":
        return others
    return dict(sorted({**others, key: event.object}.items()))


async def subsets(client: Client, rollout: Manifest) -> Sequence[str]:
    """The subsets of a Rollout's host: the revisions that it may want.

    Only rules of its own namespace are looked at, where nearly all are: these are suggestions.
    """
    space = key_of(rollout).namespace
    wanted = hosts.fqdn(str((rollout.get("spec") or {}).get("host", "")), namespace=space)
    rules = (await client.cluster.list(DESTINATION_RULE, namespace=space)).items
    return [
        str(subset.get("name", ""))
        for spec in (rule.get("spec") or {} for rule in rules)
        if hosts.fqdn(str(spec.get("host", "")), namespace=space) == wanted
        for subset in spec.get("subsets") or ()
    ]
