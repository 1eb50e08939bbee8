"""Webhooks in a manifest, and which addresses an operator allows."""

from __future__ import annotations

import pytest
import yaml

from rollout.api import reading
from rollout.api.webhook import WEBHOOKS_MAX, HookPoint, Webhook, is_allowed
from rollout.base.errors import BadManifest

ALLOWED = ("https://hooks.example.com/rollout/", "http://smoke.ci.svc/")


def test_a_name_a_point_and_an_address_are_enough() -> None:
    text = """
    host: reviews
    revision: v2
    webhooks: [{name: smoke, point: BeforeFirstTraffic, url: "https://hooks.example.com/x"}]
    """
    (hook,) = reading.read_spec({"spec": yaml.safe_load(text)}).webhooks

    assert hook.point is HookPoint.BEFORE_FIRST_TRAFFIC
    assert (hook.timeout, hook.retries, hook.failure, hook.steps) == ("10s", 3, "Rollback", None)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"point": "BeforeLunch"}, "point"),
        ({"url": "file:///etc/passwd"}, "url"),
        ({"retries": 21}, "retries"),
        ({"failure": "Panic"}, "failure"),
        ({"name": "Smoke Test"}, "name"),
        ({"timeout": "soon"}, "timeout"),
    ],
)
def test_what_makes_no_sense_is_told_with_its_field(fields: dict[str, object], field: str) -> None:
    smoke = {"name": "smoke", "point": "BeforeStep", "url": "https://hooks.example.com/"}

    with pytest.raises(BadManifest, match=field):
        reading.read(Webhook, {**smoke, **fields}, at="spec.webhooks[0]")


def test_there_are_eight_of_them_at_most() -> None:
    hooks = [
        {"name": f"h{i}", "point": "BeforeStep", "url": "https://hooks.example.com/"}
        for i in range(WEBHOOKS_MAX + 1)
    ]

    with pytest.raises(BadManifest, match="webhooks"):
        reading.read_spec({"spec": {"host": "a", "revision": "v2", "webhooks": hooks}})


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://hooks.example.com/rollout/smoke", True),
        ("https://hooks.example.com/rollout/", True),
        ("http://smoke.ci.svc/a..b/c?to=../d", True),
        ("https://hooks.example.com/admin", False),
        ("https://hooks.example.com/rollout/../admin", False),
        ("https://hooks.example.com/rollout/%2e%2e/admin", False),
        ("https://hooks.example.com/rollout/%252e%252e/admin", False),
        ("https://hooks.example.com/rollout/..\\admin", False),
        ("https://hooks.example.com.evil.example/rollout/", False),
        ("https://evil.example/?https://hooks.example.com/rollout/", False),
        ("http://hooks.example.com/rollout/", False),
        ("http://smoke.ci.svc@evil.example/", False),
    ],
)
def test_an_address_stays_where_an_operator_allows_it(url: str, allowed: bool) -> None:
    assert is_allowed(url, ALLOWED) is allowed
    assert not is_allowed(url, ())


def test_an_address_that_is_none_is_not_allowed_whatever_it_begins_with() -> None:
    assert not is_allowed("http://[/x", ("http://[/",))
