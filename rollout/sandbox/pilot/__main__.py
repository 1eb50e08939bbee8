"""The pilot as a process: watches the API server and keeps Envoy's files up to date.

``python -m rollout.sandbox.pilot --kubeconfig FILE --out DIR [--listen PORT] [--namespace NS]``
prints ``{"port": …}`` when the files describe all that was there at the start, and one line for
every change after that. Kinds that the API server does not serve count as empty until it does.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from rollout.base.errors import Denied, Gone, NotFound, Unreachable
from rollout.sandbox.kubeclient import KubeClient, access_from
from rollout.sandbox.parent import die_with_parent
from rollout.sandbox.pilot.files import Folder
from rollout.sandbox.pilot.translate import translate
from rollout.sandbox.pilot.world import Proxy

DEBOUNCE_SECONDS = 0.01
"""Changes that belong together come closer than this; Istio's own default is 100 ms."""

RETRY_SECONDS = 0.2
"""Before asking an API server again that did not answer; it is on the same machine."""

ABSENT_SECONDS = 1.0
"""Between two looks for a kind that is not served."""


@dataclass(frozen=True, slots=True)
class Source:
    """A kind and where it is listed, in all namespaces."""

    kind: str
    path: str


SOURCES = (
    Source("Service", "/api/v1/services"),
    Source("Pod", "/api/v1/pods"),
    Source("EndpointSlice", "/apis/discovery.k8s.io/v1/endpointslices"),
    *(
        Source(kind, f"/apis/networking.istio.io/v1/{plural}")
        for kind, plural in (
            ("VirtualService", "virtualservices"),
            ("DestinationRule", "destinationrules"),
            ("ServiceEntry", "serviceentries"),
            ("WorkloadEntry", "workloadentries"),
        )
    ),
)


class Mirror:
    """A copy of the objects of all sources, kept up to date by one task for each.

    Attributes:
        changed: set when the copy differs from what was last read.
    """

    def __init__(self, client: KubeClient) -> None:
        self.changed = asyncio.Event()
        self._client = client
        self._objects: dict[str, dict[tuple[str, str], Mapping[str, Any]]] = {}

    @property
    def is_complete(self) -> bool:
        """Whether every source has been listed once."""
        return len(self._objects) == len(SOURCES)

    def objects(self) -> list[Mapping[str, Any]]:
        """Everything, in no particular order."""
        return [item for found in self._objects.values() for item in found.values()]

    async def follow(self, source: Source) -> None:
        """List and watch ``source``, for ever; list again when the watch has lost its place."""
        while True:
            try:
                await self._follow_once(source)
            except NotFound:
                self._replace(source, [])
                await asyncio.sleep(ABSENT_SECONDS)
            except Gone:
                continue
            except (Unreachable, Denied) as error:
                _say({"retrying": source.kind, "why": str(error)})
                await asyncio.sleep(RETRY_SECONDS)

    async def _follow_once(self, source: Source) -> None:
        items, version = await self._client.list(source.path)
        self._replace(source, items)
        while True:
            async with contextlib.aclosing(self._client.watch(source.path, version)) as events:
                async for event in events:
                    item = event["object"]
                    version = item["metadata"]["resourceVersion"]
                    self._take(source, event["type"], item)

    def _replace(self, source: Source, items: list[dict[str, Any]]) -> None:
        fresh: dict[tuple[str, str], Mapping[str, Any]] = {
            _key(item): {**item, "kind": source.kind} for item in items
        }
        if self._objects.get(source.kind) != fresh:
            self._objects[source.kind] = fresh
            self.changed.set()

    def _take(self, source: Source, type_: str, item: dict[str, Any]) -> None:
        found = self._objects[source.kind]
        match type_:
            case "ADDED" | "MODIFIED":
                found[_key(item)] = {**item, "kind": source.kind}
            case "DELETED":
                found.pop(_key(item), None)
            case _:
                return  # a bookmark
        self.changed.set()


def _key(item: Mapping[str, Any]) -> tuple[str, str]:
    return item["metadata"].get("namespace", ""), item["metadata"]["name"]


async def write_forever(mirror: Mirror, folder: Folder, *, proxy: Proxy) -> None:
    """Rewrite the files whenever the mirror has changed; an odd object leaves them as they are."""
    has_spoken = False
    while True:
        await mirror.changed.wait()
        await asyncio.sleep(DEBOUNCE_SECONDS)
        mirror.changed.clear()
        if not mirror.is_complete:
            continue
        begun = time.perf_counter()
        try:
            files = translate(mirror.objects(), proxy=proxy).encoded()
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            # Envoy keeps its configuration when it refuses a new one, and so do we.
            _say({"refused": f"{type(error).__name__}: {error}"})
            continue
        written = folder.write(files)
        if not has_spoken:
            has_spoken = True
            _say({"port": proxy.listen_port, "files": written})
        elif written:
            milliseconds = round((time.perf_counter() - begun) * 1000, 1)
            _say({"written": written, "milliseconds": milliseconds})


def _say(words: Mapping[str, object]) -> None:
    sys.stdout.write(orjson.dumps(words).decode() + "\n")
    sys.stdout.flush()


async def run(arguments: argparse.Namespace) -> None:
    """Follow all sources and write, until cancelled."""
    arguments.out.mkdir(parents=True, exist_ok=True)
    proxy = Proxy(
        namespace=arguments.namespace, folder=str(arguments.out), listen_port=arguments.listen
    )
    async with (
        KubeClient(access_from(arguments.kubeconfig)) as client,
        asyncio.TaskGroup() as tasks,
    ):
        mirror = Mirror(client)
        for source in SOURCES:
            tasks.create_task(mirror.follow(source))
        tasks.create_task(write_forever(mirror, Folder(arguments.out), proxy=proxy))
        gc.freeze()


def main() -> None:
    """The process entry."""
    parser = argparse.ArgumentParser(prog="python -m rollout.sandbox.pilot")
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--listen", type=int, default=0, help="one port for all HTTP hosts")
    parser.add_argument("--namespace", default="bookinfo", help="the caller's")
    arguments = parser.parse_args()
    die_with_parent(signal.SIGKILL)
    asyncio.run(run(arguments))


if __name__ == "__main__":
    main()
