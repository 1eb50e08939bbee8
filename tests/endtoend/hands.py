"""What a person has at hand in the world in a box: kubectl, rollout, dials, signals, a diary."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from rollout.base.errors import Denied, NotFound
from rollout.sandbox.processes import Command, Process, free_port
from rollout.sandbox.stage import MERGE_PATCH, Stage

RPS = 300.0
SETTLE = "500ms"
NAME = "reviews"

COMMAND_SECONDS = 30.0
UNTIL_SECONDS = 45.0

ISTIO = "/apis/networking.istio.io/v1/namespaces/bookinfo"
OURS = "/apis/rollout.dev/v1alpha1/namespaces/bookinfo"
ROUTES = f"{ISTIO}/virtualservices"
RULES = f"{ISTIO}/destinationrules"
ROLLOUTS = f"{OURS}/rollouts"
ACTIONS = f"{OURS}/rolloutactions"
EVENTS = "/api/v1/namespaces/bookinfo/events"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/default/leases"

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Entry:
    """Something a watch showed: when it came, which kind of event it was, and the object."""

    at: float
    type: str
    object: Json


@dataclass(slots=True)
class Diary:
    """All that watches showed, in the order in which it came."""

    entries: list[Entry] = field(default_factory=list)

    def of(self, kind: str, name: str = NAME) -> list[Entry]:
        return [
            e
            for e in self.entries
            if e.object.get("kind") == kind and e.object["metadata"].get("name") == name
        ]

    def weights(self, version: str) -> list[tuple[float, int]]:
        """When the version's weight changed, and to what; the first entry is the start."""
        found: list[tuple[float, int]] = []
        for entry in self.of("VirtualService"):
            weight = weights_in(entry.object).get(version, 0)
            if not found or found[-1][1] != weight:
                found.append((entry.at, weight))
        return found

    def ladder(self, version: str) -> list[int]:
        """The weights that the version had, one after the other."""
        return [weight for _, weight in self.weights(version)]


class Hands:
    """A person in front of a stage."""

    def __init__(self, stage: Stage, home: Path) -> None:
        self.stage = stage
        self.home = home
        self.round = 0
        self._started = 0
        self._controllers: list[Process] = []
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "KUBECONFIG": str(stage.kubeconfig),
            "NO_PROXY": "127.0.0.1",
        }

    # Commands.

    async def start(self, *words: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *words,
            env=self.environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )

    async def kubectl(self, *words: str, code: int = 0) -> str:
        return await self._run("kubectl", *words, code=code)

    async def rollout(self, *words: str, code: int = 0) -> str:
        return await self._run(sys.executable, "-m", "rollout", *words, code=code)

    async def _run(self, *words: str, code: int) -> str:
        process = await self.start(*words)
        async with asyncio.timeout(COMMAND_SECONDS):
            out, _ = await process.communicate()
        text = out.decode()
        assert process.returncode == code, f"{' '.join(words)}: {process.returncode}: {text}"
        return text

    def file(self, name: str, *objects: Json) -> str:
        path = self.home / name
        path.write_text(yaml.safe_dump_all(objects))
        return str(path)

    # Controllers.

    async def controller(self, **options: object) -> Process:
        """Start one as a Deployment would; it returns when the pages say that it is ready."""
        self._started += 1
        port = free_port()
        chosen: dict[str, object] = {
            "prometheus": self.stage.prometheus_url,
            "settle": SETTLE,
            "status-refresh": "1s",
            "scrape-interval": "1s",
            "lease-name": f"round-{self.round}",
            "health-port": port,
            **{name.replace("_", "-"): value for name, value in options.items()},
        }
        flags = [f"--{name}={value}" for name, value in chosen.items()]
        flags.append("--trust-actors")  # the sandbox has no admission policies
        process = await self.stage.start(
            Command(
                name=f"controller-{self._started}",
                argv=[sys.executable, "-m", "rollout", "controller", *flags],
                env=self.environment,
                is_ready=lambda: self.stage.probe(f"http://127.0.0.1:{port}/readyz"),
                port=port,
            )
        )
        self._controllers.append(process)
        return process

    async def page(self, process: Process, path: str) -> tuple[int, str, bytes]:
        """Status, content type and body of one of a controller's pages."""
        url = f"http://127.0.0.1:{process.port}{path}"
        async with self.stage._session.get(url) as response:
            return response.status, response.headers["Content-Type"], await response.read()

    async def leads(self, process: Process) -> bool:
        """Whether the controller says that it leads."""
        url = f"http://127.0.0.1:{process.port}/readyz"
        async with self.stage._session.get(url) as response:
            return bool((await response.json())["leading"])

    async def until_leads(self, process: Process) -> float:
        """Wait for it; the seconds it took."""
        begun = time.monotonic()
        async with asyncio.timeout(UNTIL_SECONDS):
            while not await self.leads(process):  # noqa: ASYNC110 - as people do
                await asyncio.sleep(0.02)
        return time.monotonic() - begun

    # The Rollout.

    async def put_on(self, revision: str = "v1", **spec: Any) -> None:
        """Create the Rollout and wait until the controller has taken the service over."""
        await self.stage.create(rollout(revision, **spec))
        await self.until(lambda s: bool(s.get("stableRevision")))

    async def want(self, revision: str) -> None:
        """Change ``spec.revision``."""
        await self.patch(f"{ROLLOUTS}/{NAME}", {"spec": {"revision": revision}})

    async def patch(self, path: str, body: Json) -> Json:
        return await self.stage.client.call("PATCH", path, body=body, content_type=MERGE_PATCH)

    async def command(self, verb: str, *, run: str, step: int | None = None) -> str:
        """Create a RolloutAction; its name."""
        self._started += 1
        name = f"{NAME}-{verb.lower()}-{self._started}"
        spec: Json = {"rollout": NAME, "run": run, "verb": verb, "actor": "alice@example.com"}
        if step is not None:
            spec["step"] = step
        await self.stage.create(
            {
                "apiVersion": "rollout.dev/v1alpha1",
                "kind": "RolloutAction",
                "metadata": {"name": name, "namespace": "bookinfo"},
                "spec": spec,
            }
        )
        return name

    async def status(self, name: str = NAME) -> Json:
        found = await self.stage.client.call("GET", f"{ROLLOUTS}/{name}")
        status: Json = found.get("status") or {}
        return status

    async def until(
        self, is_so: Callable[[Json], bool], *, name: str = NAME, seconds: float = UNTIL_SECONDS
    ) -> Json:
        """The status when it is so; a message of the last one when it never is."""
        status: Json = {}
        try:
            async with asyncio.timeout(seconds):
                while not is_so(status := await self.status(name)):  # noqa: ASYNC110 - as people do
                    await asyncio.sleep(0.02)
        except TimeoutError:
            told = (status.get("phase"), status.get("message"), status.get("run", {}).get("weight"))
            problem = f"it did not come to that within {seconds:g} s: {told}"
            raise AssertionError(problem) from None
        return status

    async def until_over(self, *, seconds: float = UNTIL_SECONDS) -> Json:
        """The status once the run that is on is over."""
        return await self.until(lambda s: "endedAt" in s.get("run", {}), seconds=seconds)

    async def until_step(self, step: int, *, seconds: float = UNTIL_SECONDS) -> Json:
        """The status once the run has come to a step and written its weight."""
        status = await self.until(lambda s: s.get("run", {}).get("step") == step, seconds=seconds)
        await self.settled(status["run"]["weight"], status["run"]["canaryRevision"])
        return status

    async def settled(self, weight: float, version: str) -> None:
        """Wait until the VirtualService gives the version this weight."""
        async with asyncio.timeout(UNTIL_SECONDS):
            while (await self.weights()).get(version, 0) != weight:  # noqa: ASYNC110 - as people do
                await asyncio.sleep(0.02)

    async def weights(self) -> dict[str, int]:
        return weights_in(await self.stage.client.call("GET", f"{ROUTES}/{NAME}"))

    async def told(self, reason: str) -> list[str]:
        """Messages of the Events with a reason, once they have had time to be written."""
        await asyncio.sleep(0.3)
        found, _ = await self.stage.client.list(EVENTS)
        return [e["message"] for e in found if e["reason"] == reason]

    # Seeing.

    @contextlib.asynccontextmanager
    async def watching(self) -> AsyncIterator[Diary]:
        """Keep a diary of VirtualServices and Rollouts while inside."""
        diary = Diary()
        async with asyncio.TaskGroup() as tasks:
            keepers = []
            for path in (ROUTES, ROLLOUTS):
                found, version = await self.stage.client.list(path)
                diary.entries += [Entry(time.time(), "ADDED", item) for item in found]
                keepers.append(tasks.create_task(self._keep(diary, path, version)))
            try:
                yield diary
            finally:
                for keeper in keepers:
                    keeper.cancel()

    async def _keep(self, diary: Diary, path: str, version: str) -> None:
        async with contextlib.aclosing(self.stage.client.watch(path, version)) as events:
            async for event in events:
                if event["type"] != "BOOKMARK":
                    diary.entries.append(Entry(time.time(), event["type"], event["object"]))

    async def traffic(self) -> Traffic:
        """What the load has counted so far."""
        return Traffic.of(await self.stage.counters())

    async def seconds_of_traffic(self) -> list[tuple[int, Traffic]]:
        """What the load has counted in each of the last minutes' seconds."""
        found = await self.stage.counters(seconds=600)
        return [(each["at"], Traffic.of(each)) for each in found["seconds"]]

    # Between two tests.

    async def begin(self) -> None:
        """All traffic on v1, healthy versions, nothing of ours in the cluster, no controller."""
        await self.dismiss()
        self.round += 1
        await self.stage.set_rate(RPS)
        for version in self.stage.cast.versions:
            await self.stage.dial(version, errorPercent=0, errorCode=500, latencyMs=1, hang=False)
        for path in (ROLLOUTS, ACTIONS, EVENTS):
            await self._remove_all(path)
        for path in (ROUTES, RULES):
            await self._remove_all(path, but=NAME)
        versions = self.stage.cast.versions
        await self.patch(f"{ROUTES}/{NAME}", {"spec": routes(versions, v1=100)})
        subsets = [{"name": v, "labels": {"version": v}} for v in versions]
        await self.patch(f"{RULES}/{NAME}", {"spec": {"subsets": subsets}})

    async def dismiss(self) -> None:
        """End every controller that still runs."""
        for process in self._controllers:
            signal_to(process, signal.SIGCONT)
            await process.stop()
        self._controllers.clear()

    async def _remove_all(self, path: str, *, but: str = "") -> None:
        for item in (await self.stage.client.list(path))[0]:
            if but and item["metadata"]["name"] == but:
                continue
            own = f"{path}/{item['metadata']['name']}"
            with contextlib.suppress(NotFound, Denied):
                if item["metadata"].get("finalizers"):
                    await self.patch(own, {"metadata": {"finalizers": None}})
                await self.stage.client.call("DELETE", own)


@dataclass(frozen=True, slots=True)
class Traffic:
    """Answers by version and code, and requests that got none, by what became of them."""

    answers: Counter[tuple[str, str]]
    lost: Counter[str]

    @staticmethod
    def of(found: Json) -> Traffic:
        answers = Counter(
            {(v, code): n for v, codes in found["answers"].items() for code, n in codes.items()}
        )
        return Traffic(answers, Counter(found["outcomes"]))

    def __sub__(self, other: Traffic) -> Traffic:
        return Traffic(self.answers - other.answers, self.lost - other.lost)

    def to(self, version: str) -> int:
        return sum(n for (v, _), n in self.answers.items() if v == version)

    @property
    def failures(self) -> dict[str, int]:
        """By version, or by what became of a request without an answer."""
        found: Counter[str] = Counter(self.lost)
        for (version, code), count in self.answers.items():
            if code != "200":
                found[version] += count
        return dict(+found)


def weights_in(virtual_service: Json) -> dict[str, int]:
    """The weights of the first route, by subset, without zeros."""
    legs = virtual_service["spec"]["http"][0]["route"]
    return {e["destination"]["subset"]: e["weight"] for e in legs if e.get("weight")}


def routes(versions: tuple[str, ...], **weights: int) -> Json:
    """The spec of a VirtualService with these weights."""
    legs = [
        {"destination": {"host": NAME, "subset": v}, "weight": weights.get(v, 0)} for v in versions
    ]
    return {"hosts": [NAME], "http": [{"name": "primary", "route": legs}]}


def rollout(revision: str = "v1", *, name: str = NAME, **spec: Any) -> Json:
    """A Rollout with a short ladder; what is given replaces a field of its spec."""
    steps = [{"weight": 10, "hold": "2s"}, {"weight": 50, "hold": "2s"}, {"weight": 100}]
    return {
        "apiVersion": "rollout.dev/v1alpha1",
        "kind": "Rollout",
        "metadata": {"name": name, "namespace": "bookinfo"},
        "spec": {
            "host": NAME,
            "revision": revision,
            "strategy": {"steps": steps, "bake": "0s"},
            "gates": [{"name": "errors", "errorRate": {"maxPercent": 1}}],
            "judge": {"minRequests": 10, "provenRatio": "Off"},
            **spec,
        },
    }


def ladder(*steps: tuple[float, str], bake: str = "0s") -> Json:
    """A strategy of weights and their holds."""
    return {"steps": [{"weight": w, "hold": hold} for w, hold in steps], "bake": bake}


def signal_to(process: Process, number: signal.Signals) -> None:
    """Send a signal to one process, not to its group; one that is gone is no error."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, number)


async def gone(process: Process, *, seconds: float = 15.0) -> float:
    """Wait until a process has ended; the seconds it took."""
    begun = time.monotonic()
    async with asyncio.timeout(seconds):
        while process.returncode is None:  # noqa: ASYNC110 - a plain wait, bounded
            await asyncio.sleep(0.005)
    return time.monotonic() - begun


def moment(text: str) -> float:
    """A status' time in seconds since 1970."""
    return datetime.fromisoformat(text).timestamp()


def is_plausible(count: int, *, of: int, percent: float) -> bool:
    """Whether a count lies within the band that holds 99.99 % of all samples.

    Exact: either tail of the binomial distribution holds half of the rest. For many requests it is
    the share's own percent and 3.8906 standard deviations on either side.
    """
    below, above = (
        sum(_binomial(of, percent / 100, ks)) for ks in (range(count + 1), range(count, of + 1))
    )
    return min(below, above) > 0.00005


def _binomial(of: int, share: float, counts: range) -> Iterator[float]:
    for k in counts:
        if share in {0, 1}:
            yield float(k == of * share)
            continue
        ways = math.lgamma(of + 1) - math.lgamma(k + 1) - math.lgamma(of - k + 1)
        yield math.exp(ways + k * math.log(share) + (of - k) * math.log1p(-share))
