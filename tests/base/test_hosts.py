"""Host names: short ones belong to the namespace of the object that says them."""

from __future__ import annotations

import pytest

from rollout.base import hosts


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("reviews", "reviews.shop.svc.cluster.local"),
        ("Reviews", "reviews.shop.svc.cluster.local"),
        ("reviews.shop.svc.cluster.local", "reviews.shop.svc.cluster.local"),
        ("reviews.shop.svc.cluster.local.", "reviews.shop.svc.cluster.local"),
        ("reviews.other", "reviews.other"),
        ("api.example.com", "api.example.com"),
        ("*", "*"),
        ("*.example.com", "*.example.com"),
    ],
)
def test_a_host_is_completed_as_istio_completes_it(host: str, name: str) -> None:
    assert hosts.fqdn(host, namespace="shop") == name


def test_a_mesh_may_have_another_domain_than_the_usual_one() -> None:
    assert hosts.fqdn("reviews", namespace="shop", domain="corp") == "reviews.shop.svc.corp"


def test_a_full_name_stays_as_it_is_when_completed_again() -> None:
    once = hosts.fqdn("reviews", namespace="shop")

    assert hosts.fqdn(once, namespace="elsewhere") == once
