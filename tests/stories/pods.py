"""The proxies beside the pods: they count what arrives, which callers' proxies do not all see."""

from __future__ import annotations

from dataclasses import dataclass, field

from rollout.api.meta import VIRTUAL_SERVICE, Kind, Manifest
from tests.stories.gray import KEY, VERSIONS, Story
from tests.world.metrics import Counter

HOST = "reviews.shop.svc.cluster.local"


@dataclass(kw_only=True)
class Pods:
    """Counts arrivals beside a story's weights: every attempt, and every copy.

    Attributes:
        attempts_max: how often a request that fails is sent again, at most.
        failing_percent: by version, attempts and copies that fail.
        sidecars: False: nobody stands beside the pods and counts.
        lost_percent: by version, requests that find no host and get no further.
    """

    story: Story
    attempts_max: int = 0
    failing_percent: dict[str, float] = field(default_factory=dict)
    sidecars: bool = True
    lost_percent: dict[str, float] = field(default_factory=dict)
    counters: dict[tuple[str, str], Counter] = field(default_factory=dict)

    def __post_init__(self) -> None:

        def heard(kind: Kind, manifest: Manifest) -> None:
            self.story.heard(kind, manifest)
            if kind == VIRTUAL_SERVICE and manifest["metadata"]["name"] == KEY.name:
                self.flow()

        self.story.cluster.heard = heard
        self.flow()

    def fail(self, version: str, percent: float) -> None:
        """Have a version fail a share of what arrives, from now on."""
        self.failing_percent[version] = percent
        self.flow()

    def lose(self, version: str, percent: float) -> None:
        """Have a share of a version's requests find no healthy host, from now on."""
        self.lost_percent[version] = percent
        self.flow()

    def flow(self) -> None:
        """Have the counters grow as routes, retries and failures say."""
        weights = {version: self.story.weight(version) for version in VERSIONS}
        total, lost = sum(weights.values()), 0.0
        for version, weight in weights.items():
            failing = self.failing_percent.get(version, 0.0) / 100
            sent = self.story.requests_per_second * weight / total
            missing = sent * self.lost_percent.get(version, 0.0) / 100
            lost, sent = lost + missing, sent - missing
            tries = sum(failing**n for n in range(self.attempts_max + 1))
            self._answered(version, sent, bad=sent * failing ** (self.attempts_max + 1))
            arrived = sent * tries + self._copied(version)
            if self.sidecars:
                self._counter("destination", version, "200").flow(arrived * (1 - failing))
                self._counter("destination", version, "503").flow(arrived * failing)
        self._counter("source", "", "503").flow(lost)

    def _answered(self, version: str, sent: float, *, bad: float) -> None:
        self.story.counters[version, "200"].flow(sent - bad)
        self.story.counters[version, "503"].flow(bad)

    def _copied(self, version: str) -> float:
        """Copies a second, as the mirrors of managed routes say."""
        mirrors = [m for route in self.story.managed() for m in route.get("mirrors", ())]
        percent: float = sum(
            m["percentage"]["value"] for m in mirrors if m["destination"]["subset"] == version
        )
        return self.story.requests_per_second * percent / 100

    def _counter(self, reporter: str, version: str, code: str) -> Counter:
        name = f"{reporter}/{version}", code
        if name not in self.counters:
            self.counters[name] = self.story.metrics.counter(
                "istio_requests_total",
                {
                    "reporter": reporter,
                    "destination_service": HOST,
                    "destination_workload": f"reviews-{version}" if version else "unknown",
                    "response_code": code,
                    "response_flags": "-" if version else "UH",
                    "instance": "client" if reporter == "source" else f"reviews-{version}",
                },
                offset_seconds=0.0 if reporter == "source" else 0.2,
            )
        return self.counters[name]
