"""Open-loop load: asks at times chosen beforehand, whatever the answers do, and counts them.

Open-loop, because a caller that waits for slow answers before it asks again asks less while things
are bad, and would hide what it is there to show. The gaps are exponential, from a seed, so that the
moments are those of many independent callers and the same in every run.

``python -m rollout.sandbox.load --url http://127.9.0.1:9080/ --host reviews --rps 300`` prints
``{"port": …}``, the control port, when it is ready: ``GET /counters?seconds=60``,
``PUT /rate {"rps": 500}``. CPU at 300 requests a second: see `wire`.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import random
import signal
import sys
import time
import urllib.parse
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import orjson

from rollout.sandbox.parent import die_with_parent
from rollout.sandbox.wire import Answer, ClientConnection, Reception, Reply, Request, Server

RPS_MAX = 2_000.0
"""One core sends about five times this; the rest of the sandbox needs the core too."""

IN_FLIGHT_MAX = 512
"""Requests under way, and so connections. At 300 a second that is 1.7 s of silence from the
service; what should have been sent beyond it is counted as ``dropped``."""

BUCKETS_MAX = 600
"""Ten minutes of seconds."""

TIMEOUT_SECONDS = 5.0
"""A caller's patience; then the outcome is ``timeout`` and the connection is given up."""

LATE_SECONDS_MAX = 1.0
"""After a pause of the whole process (a laptop's lid) the missed requests are not caught up."""

UNKNOWN = "unknown"
"""The version of an answer that no workload gave: Envoy's own."""


@dataclass(slots=True)
class Tally:
    """Counts of answers by version and code, by Envoy's flag, and of what was no answer.

    A gRPC answer's code is ``200/13``: HTTP status and gRPC status.
    """

    answers: Counter[tuple[str, str]] = field(default_factory=Counter)
    flags: Counter[tuple[str, str]] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)

    def count(self, reception: Reception) -> None:
        """Count one answer."""
        code = str(reception.status)
        if reception.grpc_status:
            code = f"{code}/{reception.grpc_status}"
        self.answers[reception.version or UNKNOWN, code] += 1
        if reception.flag not in {"", "-"}:
            self.flags[reception.flag, code] += 1

    def shown(self) -> dict[str, object]:
        """As JSON."""
        outcomes = dict(self.outcomes)
        return {"answers": _nest(self.answers), "flags": _nest(self.flags), "outcomes": outcomes}


def _nest(counts: Counter[tuple[str, str]]) -> dict[str, dict[str, int]]:
    nested: dict[str, dict[str, int]] = {}
    for (outer, inner), count in sorted(counts.items()):
        nested.setdefault(outer, {})[inner] = count
    return nested


class Books:
    """The tallies: one for all time and one for each of the last seconds."""

    def __init__(self) -> None:
        self.total = Tally()
        self.sent_count = 0
        self._seconds: deque[tuple[int, Tally]] = deque(maxlen=BUCKETS_MAX)

    def answered(self, reception: Reception, *, at: float) -> None:
        """Count an answer that came at ``at``, seconds since 1970."""
        self.total.count(reception)
        self._second(at).count(reception)

    def failed(self, outcome: str, *, at: float) -> None:
        """Count a request that got no answer: timeout, refused, closed or dropped."""
        self.total.outcomes[outcome] += 1
        self._second(at).outcomes[outcome] += 1

    def shown(self, *, newest: int) -> dict[str, object]:
        """All-time counts and the ``newest`` seconds, oldest first, as JSON."""
        seconds = list(self._seconds)[-newest:] if newest > 0 else []
        buckets = [{"at": at, **tally.shown()} for at, tally in seconds]
        return {"sent": self.sent_count, **self.total.shown(), "seconds": buckets}

    def _second(self, at: float) -> Tally:
        second = int(at)
        if not self._seconds or self._seconds[-1][0] != second:
            self._seconds.append((second, Tally()))
        return self._seconds[-1][1]


@dataclass(slots=True)
class Flight:
    """One request under way."""

    timer: asyncio.TimerHandle | None = None
    has_timed_out: bool = False


class Load:
    """Sends, with a pool of kept-alive connections, and keeps the books."""

    def __init__(self, *, address: str, port: int, request: bytes, rps: float, seed: int) -> None:
        self.books = Books()
        self.rps = rps
        self.in_flight_count = 0
        self._address, self._port = address, port
        self._request = request
        self._idle: list[ClientConnection] = []
        self._dice = random.Random(seed)  # noqa: S311 - dice, not secrets
        self._next: asyncio.TimerHandle | None = None
        self._due_at = 0.0
        self._opening: set[asyncio.Task[None]] = set()

    def set_rate(self, rps: float) -> None:
        """Ask ``rps`` times a second from now on, 0 to `RPS_MAX`; 0 pauses."""
        self.rps = rps
        if self._next is not None:
            self._next.cancel()
            self._next = None
        if rps > 0:
            self._due_at = asyncio.get_running_loop().time()
            self._plan()

    def _plan(self) -> None:
        self._due_at += self._dice.expovariate(self.rps)
        self._next = asyncio.get_running_loop().call_at(self._due_at, self._fire)

    def _fire(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._due_at > LATE_SECONDS_MAX:
            self._due_at = now
        while self._due_at <= now:
            self._ask()
            self._due_at += self._dice.expovariate(self.rps)
        self._next = asyncio.get_running_loop().call_at(self._due_at, self._fire)

    def _ask(self) -> None:
        if self.in_flight_count >= IN_FLIGHT_MAX:
            self.books.failed("dropped", at=time.time())
            return
        self.books.sent_count += 1
        self.in_flight_count += 1
        if self._idle:
            self._send(self._idle.pop())
        else:
            task = asyncio.get_running_loop().create_task(self._open_and_send())
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _open_and_send(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                _, connection = await loop.create_connection(
                    lambda: ClientConnection(self._forget), self._address, self._port
                )
        except OSError:  # TimeoutError is one of them
            self.in_flight_count -= 1
            self.books.failed("refused", at=time.time())
            return
        self._send(connection)

    def _send(self, connection: ClientConnection) -> None:
        flight = Flight()
        give_up = functools.partial(_give_up, flight, connection)
        flight.timer = asyncio.get_running_loop().call_later(TIMEOUT_SECONDS, give_up)
        connection.send(self._request, functools.partial(self._done, flight, connection))

    def _done(
        self, flight: Flight, connection: ClientConnection, reception: Reception | None
    ) -> None:
        self.in_flight_count -= 1
        if flight.timer is not None:
            flight.timer.cancel()
        if reception is None:
            outcome = "timeout" if flight.has_timed_out else "closed"
            self.books.failed(outcome, at=time.time())
            return
        self.books.answered(reception, at=time.time())
        self._idle.append(connection)

    def _forget(self, connection: ClientConnection) -> None:
        if connection in self._idle:
            self._idle.remove(connection)


def _give_up(flight: Flight, connection: ClientConnection) -> None:
    flight.has_timed_out = True
    connection.close()


def handle(load: Load, request: Request, reply: Reply) -> None:
    """The control port."""
    match request.method, request.path:
        case "GET", "/counters":
            text = request.argument("seconds")
            newest = min(int(text), BUCKETS_MAX) if text.isdecimal() else BUCKETS_MAX
            shown = load.books.shown(newest=newest)
            reply(Answer.of({"rps": load.rps, "inFlight": load.in_flight_count, **shown}))
        case "PUT", "/rate":
            rps = _rate_in(request.body)
            if rps is None:
                problem = f'send {{"rps": a number from 0 to {RPS_MAX:g}}}'
                reply(Answer.of({"error": problem}, status=400))
                return
            load.set_rate(rps)
            reply(Answer.of({"rps": rps}))
        case _:
            reply(Answer.of({"error": "ask for /counters or put /rate"}, status=404))


def _rate_in(body: bytes) -> float | None:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    rps = value.get("rps") if isinstance(value, dict) else None
    if isinstance(rps, bool) or not isinstance(rps, int | float) or not 0 <= rps <= RPS_MAX:
        return None
    return float(rps)


def build_request(*, host: str, path: str, headers: Sequence[str]) -> bytes:
    """The bytes that are sent each time; ``headers`` are ``name: value`` lines."""
    lines = [f"GET {path} HTTP/1.1", f"host: {host}", "user-agent: rollout-sandbox", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")


async def run(arguments: argparse.Namespace) -> None:
    """Begin to ask, open the control port, say so, and stay."""
    url = urllib.parse.urlsplit(arguments.url)
    request = build_request(
        host=arguments.host or url.netloc, path=url.path or "/", headers=arguments.header
    )
    load = Load(
        address=url.hostname or "127.0.0.1",
        port=url.port or 80,
        request=request,
        rps=0.0,
        seed=arguments.seed,
    )
    control = Server(functools.partial(handle, load))
    port = await control.listen("127.0.0.1", arguments.control_port)
    load.set_rate(min(arguments.rps, RPS_MAX))
    sys.stdout.write(orjson.dumps({"port": port}).decode() + "\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


def main() -> None:
    """The process entry."""
    parser = argparse.ArgumentParser(prog="python -m rollout.sandbox.load")
    parser.add_argument("--url", required=True)
    parser.add_argument("--host", default="")
    parser.add_argument("--header", action="append", default=[], help="name: value")
    parser.add_argument("--rps", type=float, default=300.0)
    parser.add_argument("--control-port", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    die_with_parent(signal.SIGKILL)
    asyncio.run(run(arguments))


if __name__ == "__main__":
    main()
