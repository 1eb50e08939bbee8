"""Which callers import a host, and with it what weighs its revisions."""

from __future__ import annotations

from typing import Any

import pytest

from rollout.routes import sidecars
from rollout.routes.fronts import Front
from tests.routes.around import front, told
from tests.routes.manifests import HOST, NAMESPACE


def sidecar(*hosts: str, name: str = "s", namespace: str = NAMESPACE, **spec: Any) -> Any:
    metadata = {"name": name, "namespace": namespace}
    egress = {"egress": [{"hosts": list(hosts)}]} if hosts else {}
    return {"metadata": metadata, "spec": {**egress, **spec}}


def look(*found: Any, door: Front | None = None) -> list[str]:
    near = frozenset({NAMESPACE})
    return told(
        sidecars.look(
            [sidecars.read(each) for each in found],
            host=HOST,
            where=NAMESPACE,
            near=near,
            door=door or front(),
        )
    )


@pytest.mark.parametrize(
    "hosts",
    [
        *(("*/*",), ("./*",), ("bookinfo/*",), (f"bookinfo/{HOST}",), (f"*/{HOST}",), ()),
        *(("*/*.bookinfo.svc.cluster.local",), ("web/*", "./*"), ("*/*", "~web/*")),
    ],
)
def test_what_lets_the_host_in_is_nothing(hosts: tuple[str, ...]) -> None:
    assert look(sidecar(*hosts)) == []


@pytest.mark.parametrize(
    "hosts",
    [
        *(("istio-system/*",), ("web/*",), ("./other.example.com",), ("~/*",), ("bookinfo/*.com",)),
        *(("*/*", f"~bookinfo/{HOST}"), ("*/*", "~/*.local")),
    ],
)
def test_a_neighbours_sidecar_that_keeps_the_host_out_is_told_peers_176(
    hosts: tuple[str, ...],
) -> None:
    """Peers 176: callers whose Sidecar hides the host are reported as not governed."""
    message = (
        "CallersNotGoverned: Sidecar bookinfo/s: spec.egress does not import host reviews of "
        "namespace bookinfo, so callers that it is for do not follow the weights of "
        "VirtualService bookinfo/reviews"
    )
    assert look(sidecar(*hosts)) == [message]


def test_one_listener_that_lets_the_host_in_is_enough() -> None:
    two = sidecar()
    two["spec"]["egress"] = [{"hosts": ["web/*"]}, {"hosts": ["bookinfo/*"]}]

    assert look(two) == []


def test_a_far_sidecar_that_imports_something_else_does_not_call_us() -> None:
    assert look(sidecar("./*", namespace="web")) == []


def test_a_sidecar_that_imports_the_service_and_not_the_virtual_service_is_told_peers_176() -> None:
    door = front(namespace="routes", hosts=[HOST])

    found = look(sidecar("bookinfo/*", namespace="web"), door=door)

    assert found[0].startswith("CallersNotGoverned: Sidecar web/s")
    assert "of namespace routes" in found[0]
    assert look(sidecar("bookinfo/*", "routes/*", namespace="web"), door=door) == []


def test_the_roots_sidecar_is_for_those_without_one_of_their_own() -> None:
    root = sidecar("istio-system/*", name="default", namespace="istio-system")
    some = sidecar("*/*", workloadSelector={"labels": {"app": "a"}})

    assert "Sidecar istio-system/default" in look(root)[0]
    assert "Sidecar istio-system/default" in look(root, some)[0]
    assert look(root, sidecar("*/*")) == []


@pytest.mark.parametrize("spec", [None, 5, {"egress": 3}, {"egress": [None, {"hosts": [7]}]}])
def test_what_cannot_be_read_raises_nothing(spec: Any) -> None:
    sidecars.read({"metadata": {"name": "s", "namespace": "web"}, "spec": spec})
