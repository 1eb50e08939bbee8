"""The shipped admission policy, for clusters in memory: there to be looked at, and no more."""

from __future__ import annotations

import copy
from pathlib import Path

import yaml

from rollout.api.meta import ADMISSION_POLICY, ADMISSION_POLICY_BINDING, Kind, Manifest
from tests.world.cluster import FakeCluster

FILE = Path(__file__).parents[2] / "manifests/identity.yaml"

_SHIPPED = {one["kind"]: one for one in yaml.safe_load_all(FILE.read_text(encoding="utf-8"))}


def shipped(kind: Kind) -> Manifest:
    """The policy or its binding."""
    return copy.deepcopy(_SHIPPED[kind.kind])


def install(cluster: FakeCluster) -> None:
    """Put both into a cluster."""
    for kind in (ADMISSION_POLICY, ADMISSION_POLICY_BINDING):
        cluster.put(kind, shipped(kind))
