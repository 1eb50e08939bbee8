"""The golden samples: two arms seen by five proxies that are born, restart, are missed and die.

Scraped every 15 s, cut over (60 s, 120 s]. Stamps are seconds after `ORIGIN_SECONDS`.
"""

from __future__ import annotations

from collections.abc import Mapping

from rollout.analysis.sample import Series

ORIGIN_SECONDS = 1_700_000_000
STEP_SECONDS = 15
THROUGH_SECONDS = 60
UNTIL_SECONDS = 120
SERVICE = "reviews.default.svc.cluster.local"
METRIC = "istio_requests_total"

SAMPLES = """
a v1 200 | 18:1000 33:1090 48:1180 63:1270 78:1360 93:1450 108:1540
a v2 200 | 18:100 33:110 48:120 63:130 78:138 93:148 108:157
a v2 500 | 78:2 93:2 108:3
b v1 200 | 22:5000 37:5090 52:5180 67:5270 112:5540
b v2 200 | 22:500 37:510 52:520 67:530 112:560
b v2 500 | 22:7 37:7 52:7 67:8 112:10
c v1 200 | 12:900 27:990 42:1080 57:1170 72:1260 87:40 102:130 117:220
c v2 200 | 12:90 27:100 42:110 57:120 72:130 87:4 102:14 117:24
c v1 503 | 12:3 27:3 42:3 57:3 72:4 87:1 102:1 117:1
d v1 200 | 24:300 39:390 54:480 69:570 84:660
d v2 200 | 24:30 39:40 54:50 69:60 84:70
e v1 200 | 95:60 110:150
e v2 200 | 95:7 110:17
e v2 500 | 110:1
"""

TICKS = {
    (75, "v1 ok"): 360,
    (75, "v1 bad"): 1,
    (75, "v2 ok"): 40,
    (75, "v2 bad"): 1,
    (90, "v1 ok"): 220,
    (90, "v1 bad"): 1,
    (90, "v2 ok"): 22,
    (90, "v2 bad"): 2,
    (105, "v1 ok"): 180,
    (105, "v2 ok"): 20,
    (120, "v1 ok"): 540,
    (120, "v2 ok"): 59,
    (120, "v2 bad"): 4,
}
"""What the samples come to per tick (its end) and class; a class without any is left out."""

SUMS = {"v1 ok": 1300, "v1 bad": 2, "v2 ok": 141, "v2 bad": 7}
SUMS_WITH_E_YOUNG = {"v1 ok": 1360, "v1 bad": 2, "v2 ok": 148, "v2 bad": 7}


def at_ms(seconds: float) -> int:
    """A stamp of the golden data in milliseconds on Prometheus' clock."""
    return round((ORIGIN_SECONDS + seconds) * 1000)


def labels(pod: str, version: str, code: str) -> dict[str, str]:
    """The labels of one golden series."""
    return {
        "__name__": METRIC,
        "reporter": "source",
        "destination_service": SERVICE,
        "destination_workload": f"reviews-{version}",
        "response_code": code,
        "pod": pod,
    }


def rows() -> list[tuple[dict[str, str], list[tuple[int, int]]]]:
    """Labels and (seconds after the origin, value) of each golden series."""
    found = []
    for line in SAMPLES.strip().splitlines():
        head, _, tail = line.partition("|")
        pod, version, code = head.split()
        pairs = [entry.split(":") for entry in tail.split()]
        found.append((labels(pod, version, code), [(int(at), int(value)) for at, value in pairs]))
    return found


def series(since_seconds: float = 0, until_seconds: float = UNTIL_SECONDS) -> tuple[Series, ...]:
    """The answer of Prometheus 2 to a window over the golden data: both ends belong to it."""
    return tuple(
        Series(metric=metric, samples=samples)
        for metric, points in rows()
        if (
            samples := tuple(
                (at_ms(at), float(value))
                for at, value in points
                if since_seconds <= at <= until_seconds
            )
        )
    )


def kind(metric: Mapping[str, str]) -> str:
    """Which of the four sums a series belongs to."""
    version = metric["destination_workload"].removeprefix("reviews-")
    return f"{version} {'bad' if metric['response_code'].startswith('5') else 'ok'}"


def open_metrics() -> str:
    """The golden data as promtool reads them: each series' samples together, stamps in seconds."""
    lines = ["# TYPE istio_requests counter"]
    for metric, points in rows():
        pairs = ",".join(
            f'{name}="{value}"' for name, value in metric.items() if name != "__name__"
        )
        lines += [f"{METRIC}{{{pairs}}} {value} {ORIGIN_SECONDS + at}" for at, value in points]
    return "\n".join([*lines, "# EOF", ""])
