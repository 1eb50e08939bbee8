"""Istio's own examples and analyzer cases, looked at for what undoes routes (ROLLOUT_TEST_DATA)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from rollout.routes import fronts, ports, visibility
from rollout.routes.fields import Finding
from rollout.routes.fronts import Front
from tests.routes.around import scene

DATA = os.environ.get("ROLLOUT_TEST_DATA")
if DATA is None:
    pytest.skip("ROLLOUT_TEST_DATA names no folder with Istio's examples", allow_module_level=True)
ISTIO = Path(DATA) / "istio"
CASES = ISTIO / "analyze" / "testdata"
PEACEFUL = [*(ISTIO / "samples").rglob("*.yaml"), *(ISTIO / "tests_testdata_config").glob("*.yaml")]


def documents(path: Path, kind: str) -> Iterator[dict[str, Any]]:
    for found in yaml.load_all(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader):
        if isinstance(found, dict) and found.get("kind") == kind:
            found["metadata"].setdefault("namespace", "default")
            yield found


def reasons(owned: Front, everyone: list[Front]) -> set[str]:
    """What is said when a Rollout owns one of them."""
    found = scene(*everyone, owned=(str(owned),))
    said = [
        *visibility.rivals(found),
        *visibility.delegation(found, watched=""),
        *visibility.edges(found),
    ]
    return {one.reason for one in said if isinstance(one, Finding)} | {
        f"note {one.reason}" for one in said if not isinstance(one, Finding)
    }


def test_rivals_are_those_that_istios_analyzer_reports_but_for_less_specific_names() -> None:
    """Of hosts with an asterisk istiod takes the most specific one: IST0109 reports more."""
    path = CASES / "virtualservice_conflictingmeshgatewayhosts_with_exportto.yaml"
    everyone = [fronts.read(one) for one in documents(path, "VirtualService")]

    assert {str(one) for one in everyone if reasons(one, everyone)} == {
        *("foo/productpage", "bar/productpage", "foo/productpage-c", "bar/productpage-c")
    }


def test_ports_that_istios_analyzer_reports_are_guessed() -> None:
    path = CASES / "service-no-port-name.yaml"
    found = [port for one in documents(path, "Service") for port in ports.of_service(one)]

    guessed = [port.owner for port in found if port.traffic is ports.Traffic.GUESSED]

    assert guessed == [
        *["Service my-namespace1/my-service1"] * 2,
        "Service my-namespace2/my-service2",
    ]


@pytest.mark.parametrize("path", PEACEFUL, ids=lambda path: path.stem)
def test_nothing_in_istios_examples_is_a_problem(path: Path) -> None:
    everyone = [fronts.read(one) for one in documents(path, "VirtualService")]

    for owned in everyone:
        found = {name for name in reasons(owned, everyone) if not name.startswith("note ")}
        assert found == set(), owned
