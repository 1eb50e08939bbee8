"""Istio's own examples, read and shifted; they are found through ROLLOUT_TEST_DATA."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import yaml

from rollout.api.match import Match, TextMatch
from rollout.api.traffic import ManagedRoutes, Routing
from rollout.base.hosts import fqdn
from rollout.routes import destinationrule, ownership, virtualservice
from tests.routes.manifests import entries, patched, without_weights

DATA = os.environ.get("ROLLOUT_TEST_DATA")
FOLDERS = (
    "samples",
    "tests_testdata_config",
    "validation_dataset",
    "crds_valid_invalid",
    "analyze",
)
NAMESPACE = "default"

if DATA is None:
    pytest.skip("ROLLOUT_TEST_DATA names no folder with Istio's examples", allow_module_level=True)
ISTIO = Path(DATA) / "istio"


def documents(folder: str, kind: str) -> Iterator[dict[str, Any]]:
    for path in sorted((ISTIO / folder).rglob("*.yaml")):
        for document in yaml.load_all(path.read_text(), Loader=yaml.SafeLoader):
            if isinstance(document, dict) and document.get("kind") == kind:
                yield document


def namespace_of(manifest: dict[str, Any]) -> str:
    return str(manifest["metadata"].get("namespace", NAMESPACE))


def pairs(manifest: dict[str, Any]) -> set[tuple[str, str, str]]:
    """Each host of a manifest with pairs of its subsets, one of them unknown to it."""
    seen: dict[str, set[str]] = {}
    for entry in entries(manifest):
        for each in entry.get("route") or ():
            found = each.get("destination") or {}
            host = fqdn(found.get("host", "reviews"), namespace=namespace_of(manifest))
            seen.setdefault(host, {"v9"}).add(found.get("subset", "v8"))
    return {
        (host, one, other)
        for host, subsets in seen.items()
        for one in subsets
        for other in subsets
        if one != other
    }


def select(manifest: dict[str, Any], host: str, stable: str | None, canary: str | None) -> Routing:
    return ownership.select(
        [manifest],
        host=host,
        namespace=namespace_of(manifest),
        refs=(),
        stable=stable,
        canary=canary,
    )


def patch(
    manifest: dict[str, Any],
    host: str,
    stable: str,
    canary: str,
    percent: str,
    managed: ManagedRoutes | None = None,
) -> list[dict[str, Any]]:
    return virtualservice.weight_patch(
        manifest,
        host=host,
        namespace=namespace_of(manifest),
        refs=(),
        stable=stable,
        canary=canary,
        canary_percent=Decimal(percent),
        managed=managed,
    )


@pytest.mark.parametrize("folder", FOLDERS)
def test_reading_virtual_services_never_raises_and_patches_change_only_weights(folder: str) -> None:
    for manifest in documents(folder, "VirtualService"):
        before = copy.deepcopy(manifest)
        for host, stable, canary in pairs(manifest):
            routing = select(manifest, host, stable, canary)
            select(manifest, host, None, None)
            after = manifest
            for percent in ("0.5", "100", "0", "37.5"):
                after = patched(after, patch(after, host, stable, canary, percent))
                assert without_weights(after) == without_weights(manifest)
            if not routing.problems:
                assert {
                    virtualservice.canary_percent(each, stable=stable, canary=canary)
                    for each in select(after, host, stable, canary).routes
                } == {Fraction("37.5")}

        assert manifest == before


def test_managed_routes_come_before_the_examples_routes_and_go_without_a_trace() -> None:
    nothing = ManagedRoutes(owner="default/sample")
    match = Match(headers={"x-rollout": TextMatch(exact="canary")})
    wanted = replace(nothing, match=match, mirror_percent=10, timeout="1s")
    fronted_count = 0
    for manifest in (each for folder in FOLDERS for each in documents(folder, "VirtualService")):
        for pair in pairs(manifest):
            if select(manifest, *pair).problems:
                continue
            after = patched(manifest, patch(manifest, *pair, "12", wanted))
            last = patched(after, patch(after, *pair, "0", nothing))

            routes = [each for each in entries(after) if each not in list(entries(manifest))]
            fronted_count += any(each.get("mirrors") for each in routes)
            assert patch(after, *pair, "12", wanted) == []
            assert without_weights(last) == without_weights(manifest)
    assert fronted_count >= 5


@pytest.mark.parametrize("folder", FOLDERS)
def test_reading_destination_rules_never_raises(folder: str) -> None:
    for manifest in documents(folder, "DestinationRule"):
        before = copy.deepcopy(manifest)
        namespace = namespace_of(manifest)
        host = fqdn((manifest.get("spec") or {}).get("host") or "x", namespace=namespace)

        found = destinationrule.subsets(
            [manifest], host=host, namespace=namespace, service_namespace=namespace, ref=None
        )

        assert found.subsets or found.problems
        assert manifest == before


def test_the_examples_hold_splits_that_we_can_shift() -> None:
    shifted = [
        manifest
        for folder in FOLDERS
        for manifest in documents(folder, "VirtualService")
        if any(patch(manifest, *pair, "12") for pair in pairs(manifest))
    ]

    assert len(shifted) >= 10


def test_reviews_at_50_percent_promoted_to_100_is_what_the_official_task_ends_with() -> None:
    folder = ISTIO / "samples" / "bookinfo-networking"
    half = yaml.safe_load((folder / "virtual-service-reviews-50-v3.yaml").read_text())
    full = yaml.safe_load((folder / "virtual-service-reviews-v3.yaml").read_text())
    host = "reviews.default.svc.cluster.local"

    after = patched(half, patch(half, host, "v1", "v3", "100"))

    (ours,) = select(after, host, "v1", "v3").routes
    (theirs,) = select(full, host, None, None).routes
    assert {subset: share for subset, share in ours.shares if share} == dict(theirs.shares)


def test_tcp_echo_at_20_percent_is_adopted_and_promoted() -> None:
    folder = ISTIO / "samples" / "tcp-echo"
    fifth = yaml.safe_load((folder / "tcp-echo-20-v2.yaml").read_text())
    host = "tcp-echo.default.svc.cluster.local"

    (before,) = select(fifth, host, "v1", "v2").routes
    after = patched(fifth, patch(fifth, host, "v1", "v2", "100"))

    assert virtualservice.canary_percent(before, stable="v1", canary="v2") == 20
    assert [each["weight"] for each in after["spec"]["tcp"][0]["route"]] == [0, 100]


def test_tcp_echo_with_all_on_one_version_is_adopted_although_its_route_matches_a_port() -> None:
    path = ISTIO / "samples" / "tcp-echo" / "tcp-echo-all-v1.yaml"
    manifest = next(
        each for each in yaml.safe_load_all(path.read_text()) if each["kind"] == "VirtualService"
    )

    routing = select(manifest, "tcp-echo.default.svc.cluster.local", None, None)

    assert [dict(each.shares) for each in routing.routes] == [{"v1": 1}]
    assert routing.problems == ()
