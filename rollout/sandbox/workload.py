"""Sample workloads: the versions of a service, with dials for what goes wrong in them.

One process hosts all versions, each on an address of its own, to save memory; a crash closes that
version's listeners and breaks its connections, as the end of a process would.

``python -m rollout.sandbox.workload --name reviews --version v1=127.9.0.11:9080 --version v2=…``
prints ``{"port": …}``, the control port, when it is ready:
``GET /answered``, ``GET /dials``, ``PUT /dials?version=v2``,
``POST /crash?version=v2``, ``POST /revive?version=v2``.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import functools
import random
import signal
import sys
from dataclasses import dataclass

import orjson

from rollout.base.errors import BadManifest
from rollout.sandbox.parent import die_with_parent
from rollout.sandbox.wire import Answer, Reply, Request, Server

LATENCY_MS_MAX = 60_000.0
"""A minute: longer than any timeout here; use ``hang`` for forever."""

ADDRESSES_MAX = 64
"""Listeners of one process; the stage needs four."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dials:
    """How a version misbehaves; the defaults are those of a healthy one.

    Attributes:
        errorPercent: share of the answers, 0 to 100, that carry ``errorCode``.
        errorCode: their HTTP status, 200 to 599.
        latencyMs: mean time to answer.
        latencySpreadMs: the time is uniform within this distance of the mean, and never below 0.
        hang: take requests and never answer.
        grpcStatus: answer as gRPC with this status; None answers JSON. With it, the errors of
            ``errorPercent`` carry status 13 (INTERNAL) and HTTP 200, as gRPC errors do.
    """

    errorPercent: float = 0.0  # noqa: N815 - the dials are JSON, and JSON here is camelCase
    errorCode: int = 500  # noqa: N815
    latencyMs: float = 1.0  # noqa: N815
    latencySpreadMs: float = 0.5  # noqa: N815
    hang: bool = False
    grpcStatus: int | None = None  # noqa: N815

    def turned(self, changes: dict[str, object]) -> Dials:
        """These dials with ``changes``.

        Raises:
            BadManifest: a dial is unknown or its value out of bounds; says which.
        """
        names = {field.name for field in dataclasses.fields(self)}
        if unknown := sorted(set(changes) - names):
            remedy = f"use one of {', '.join(sorted(names))}"
            raise BadManifest(field=unknown[0], problem="is no dial", remedy=remedy)
        for name, value in changes.items():
            _check(name, value)
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]  # checked above


_BOUNDS: dict[str, tuple[float, float]] = {
    "errorPercent": (0, 100),
    "errorCode": (200, 599),
    "latencyMs": (0, LATENCY_MS_MAX),
    "latencySpreadMs": (0, LATENCY_MS_MAX),
    "grpcStatus": (0, 16),
}
_WHOLE = {"errorCode", "grpcStatus"}


def _check(name: str, value: object) -> None:
    if name == "hang":
        if not isinstance(value, bool):
            raise BadManifest(field=name, problem="is not a boolean", remedy="say true or false")
        return
    if name == "grpcStatus" and value is None:
        return
    low, high = _BOUNDS[name]
    right = int if name in _WHOLE else (int, float)
    if isinstance(value, bool) or not isinstance(value, right) or not low <= value <= high:
        remedy = f"use a number from {low:g} to {high:g}"
        raise BadManifest(field=name, problem=f"is {value!r}", remedy=remedy)


class Version:
    """One version: its listeners, its dials, and the dice that decide each answer."""

    def __init__(self, name: str, *, workload: str, seed: int) -> None:
        self.name = name
        self.dials = Dials()
        self.answered_count = 0
        self._dice = random.Random(f"{seed}/{workload}/{name}")  # noqa: S311 - dice, not secrets
        body = orjson.dumps({"service": workload, "version": name})
        self._good = Answer(body=body, headers={"x-version": name})
        self._places: list[tuple[str, int]] = []
        self._servers: list[Server] = []

    async def listen(self, address: str, port: int) -> None:
        """Answer on one more address."""
        self._places.append((address, port))
        await self._open(address, port)

    def crash(self) -> None:
        """Go without a word."""
        for server in self._servers:
            server.crash()
        self._servers = []

    async def revive(self) -> None:
        """Come back on the same addresses; no effect while it listens."""
        if not self._servers:
            for address, port in self._places:
                await self._open(address, port)

    def answer(self, request: Request, reply: Reply) -> None:
        """Answer one request as the dials say."""
        del request
        if self.dials.hang:
            return
        answer = self._choose()
        spread = self.dials.latencySpreadMs
        delay_ms = self.dials.latencyMs + (self._dice.uniform(-spread, spread) if spread else 0.0)
        if delay_ms <= 0:
            self._give(answer, reply)
        else:
            loop = asyncio.get_running_loop()
            loop.call_later(delay_ms / 1000, functools.partial(self._give, answer, reply))

    def _give(self, answer: Answer, reply: Reply) -> None:
        self.answered_count += 1
        reply(answer)

    def _choose(self) -> Answer:
        dials = self.dials
        fails = dials.errorPercent > 0 and self._dice.random() * 100 < dials.errorPercent
        if dials.grpcStatus is not None:
            status = 13 if fails else dials.grpcStatus
            headers = {"x-version": self.name, "grpc-status": str(status)}
            return Answer(content_type="application/grpc", headers=headers)
        if fails:
            return dataclasses.replace(self._good, status=dials.errorCode)
        return self._good

    async def _open(self, address: str, port: int) -> None:
        server = Server(self.answer)
        await server.listen(address, port)
        self._servers.append(server)


class Control:
    """The control port: reads requests, turns dials."""

    def __init__(self, versions: dict[str, Version]) -> None:
        self._versions = versions
        self._reviving: set[asyncio.Task[None]] = set()

    def handle(self, request: Request, reply: Reply) -> None:
        """Do what is asked; the answers show the dials as they are then."""
        name = request.argument("version")
        if name and name not in self._versions:
            reply(Answer.of({"error": f"there is no version {name}"}, status=404))
            return
        chosen = [self._versions[name]] if name else list(self._versions.values())
        if (request.method, request.path) == ("GET", "/answered"):
            reply(Answer.of({version.name: version.answered_count for version in chosen}))
            return
        try:
            status = self._act(request, chosen)
        except BadManifest as error:
            reply(Answer.of({"error": str(error)}, status=400))
            return
        reply(Answer.of(self._show(), status=status))

    def _act(self, request: Request, chosen: list[Version]) -> int:
        match request.method, request.path:
            case "GET", "/dials":
                pass
            case "PUT", "/dials":
                _turn(chosen, request.body)
            case "POST", "/crash":
                for version in chosen:
                    version.crash()
            case "POST", "/revive":
                task = asyncio.get_running_loop().create_task(_revive(chosen))
                self._reviving.add(task)
                task.add_done_callback(self._reviving.discard)
            case _:
                return 404
        return 200

    def _show(self) -> dict[str, object]:
        return {name: dataclasses.asdict(version.dials) for name, version in self._versions.items()}


def _turn(versions: list[Version], body: bytes) -> None:
    try:
        changes = orjson.loads(body)
    except orjson.JSONDecodeError:
        changes = None
    if not isinstance(changes, dict):
        raise BadManifest(field="body", problem="is no JSON object", remedy="send some dials")
    turned = [version.dials.turned(changes) for version in versions]
    for version, dials in zip(versions, turned, strict=True):
        version.dials = dials


async def _revive(versions: list[Version]) -> None:
    for version in versions:
        await version.revive()


async def serve(arguments: argparse.Namespace) -> None:
    """Bring all versions and the control port up, say so, and stay."""
    versions: dict[str, Version] = {}
    for text in arguments.version[:ADDRESSES_MAX]:
        name, _, place = text.partition("=")
        address, _, port = place.rpartition(":")
        version = versions.setdefault(
            name, Version(name, workload=arguments.name, seed=arguments.seed)
        )
        await version.listen(address, int(port))
    control = Server(Control(versions).handle)
    port_taken = await control.listen("127.0.0.1", arguments.control_port)
    sys.stdout.write(orjson.dumps({"port": port_taken}).decode() + "\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


def main() -> None:
    """The process entry."""
    parser = argparse.ArgumentParser(prog="python -m rollout.sandbox.workload")
    parser.add_argument("--name", required=True)
    parser.add_argument("--version", action="append", required=True, help="v1=127.9.0.11:9080")
    parser.add_argument("--control-port", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    die_with_parent(signal.SIGKILL)
    asyncio.run(serve(arguments))


if __name__ == "__main__":
    main()
