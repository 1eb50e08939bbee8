"""The objects of the benchmark's services, as a cluster with Istio would hold them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rollout.api.action import ActionSpec, Verb, action_name
from rollout.api.meta import (
    DESTINATION_RULE,
    ENDPOINT_SLICE,
    POD,
    ROLLOUT,
    ROLLOUT_ACTION,
    VIRTUAL_SERVICE,
    Kind,
    Manifest,
)
from tests.benchmark.exporter import CANARY_RPS, name_of

NAMESPACE = "bench"

VERSIONS = ("v1", "v2")
"""The stable revision, and the one on trial."""

LADDER = (1, 2, 5, 10, 15, 20, 30, 40, 50, 100)
"""Weights in percent: steps enough that after five measured ones the aborts and the reactions still
find every run in progress."""

MAX_ERRORS_PERCENT = 5
MIN_REQUESTS_COUNT = 10
BAKE = "10m"
"""Longer than the whole course: whoever has reached 100 percent is in progress still."""
ACTOR = "bench"


def namespace() -> Manifest:
    """The one namespace of all."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}


def service(index: int, *, hold_seconds: float) -> Iterator[tuple[Kind, Manifest]]:
    """What belongs to a service: two pods, their slice, rule, routes and Rollout."""
    for version in VERSIONS:
        yield POD, _pod(index, version)
    yield ENDPOINT_SLICE, _slice(index)
    yield DESTINATION_RULE, _destination_rule(index)
    yield VIRTUAL_SERVICE, _virtual_service(index)
    yield ROLLOUT, _rollout(index, hold_seconds=hold_seconds)


def _object(kind: Kind, name: str, **parts: Any) -> Manifest:
    metadata = {"name": name, "namespace": NAMESPACE, **parts.pop("metadata", {})}
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, **parts}


def _pod(index: int, version: str) -> Manifest:
    """A pod that says by its labels which workload it is of, as it may instead of by its owner."""
    name = name_of(index)
    labels = {
        "app": name,
        "version": version,
        "service.istio.io/workload-name": f"{name}-{version}",
    }
    container = {"name": "app", "image": f"bench/app:{version}"}
    return _object(
        POD,
        f"{name}-{version}-0",
        metadata={"labels": labels},
        spec={"containers": [container]},
        status={"phase": "Running"},
    )


def _slice(index: int) -> Manifest:
    name = name_of(index)
    endpoints = [
        {
            "addresses": [f"10.{place}.{index // 250}.{index % 250 + 1}"],
            "conditions": {"ready": True, "serving": True, "terminating": False},
            "targetRef": {"kind": "Pod", "name": f"{name}-{version}-0", "namespace": NAMESPACE},
        }
        for place, version in enumerate(VERSIONS)
    ]
    return _object(
        ENDPOINT_SLICE,
        f"{name}-abcde",
        metadata={"labels": {"kubernetes.io/service-name": name}},
        addressType="IPv4",
        ports=[{"name": "http", "port": 9080, "protocol": "TCP"}],
        endpoints=endpoints,
    )


def _destination_rule(index: int) -> Manifest:
    subsets = [{"name": version, "labels": {"version": version}} for version in VERSIONS]
    return _object(
        DESTINATION_RULE, name_of(index), spec={"host": name_of(index), "subsets": subsets}
    )


def _virtual_service(index: int) -> Manifest:
    name = name_of(index)
    legs = [
        {"destination": {"host": name, "subset": version}, "weight": weight}
        for version, weight in zip(VERSIONS, (100, 0), strict=True)
    ]
    http = [{"name": "primary", "route": legs}]
    return _object(VIRTUAL_SERVICE, name, spec={"hosts": [name], "http": http})


def _rollout(index: int, *, hold_seconds: float) -> Manifest:
    hold = f"{round(1000 * hold_seconds)}ms"
    steps = [{"weight": weight, "hold": hold} for weight in LADDER]
    # A verdict must be possible well within a step, however short it is.
    enough = max(1, min(MIN_REQUESTS_COUNT, int(CANARY_RPS * hold_seconds / 5)))
    return _object(
        ROLLOUT,
        name_of(index),
        spec={
            "host": name_of(index),
            "revision": VERSIONS[0],
            "strategy": {"steps": steps, "bake": BAKE},
            "judge": {"minRequests": enough, "provenRatio": "Off"},
            "gates": [{"name": "errors", "errorRate": {"maxPercent": MAX_ERRORS_PERCENT}}],
        },
    )


def abort(rollout: Manifest) -> Manifest:
    """The command that aborts a Rollout's run, as the command line gives it."""
    name = rollout["metadata"]["name"]
    spec = ActionSpec(
        rollout=name, run=rollout["status"]["run"]["id"], verb=Verb.ABORT, actor=ACTOR, via="bench"
    )
    document = spec.model_dump(mode="json", exclude_none=True)
    uid = rollout["metadata"]["uid"]
    return _object(ROLLOUT_ACTION, action_name(spec, uid=uid), spec=document)


def canary_weight(virtual_service: Manifest) -> float:
    """The weight that a VirtualService gives to the revision on trial, in percent."""
    legs = virtual_service["spec"]["http"][0]["route"]
    return float(legs[1].get("weight", 0))
