"""What the environment and the flags say, and what is said of them when they are wrong."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import pytest

from rollout import settings
from rollout.base.errors import BadManifest


def test_nothing_said_is_the_defaults_and_a_name_of_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "NAMESPACE_FILE", tmp_path / "nothing")

    one, other = settings.read(environ={}), settings.read(environ={})

    assert (one.workers_count, one.settle_seconds, one.status_refresh_seconds) == (8, 2.0, 60.0)
    assert (one.leader_election, one.lease_name, one.lease_namespace) == (
        True,
        "rollout-controller",
        "default",
    )
    assert one.identity != other.identity


def test_a_flag_beats_its_variable_and_the_variable_the_default() -> None:
    environ = {"ROLLOUT_NAMESPACE": "shop", "ROLLOUT_WORKERS": "3", "ROLLOUT_SETTLE": "1m"}

    chosen = settings.read({"workers_count": 5, "namespace": None}, environ)

    assert (chosen.namespace, chosen.workers_count, chosen.settle_seconds) == ("shop", 5, 60.0)


def test_texts_become_what_they_stand_for() -> None:
    environ = {
        "ROLLOUT_PROMETHEUS_ADDRESS": "http://prometheus:9090/tenant",
        "ROLLOUT_PROMETHEUS_TOKEN_FILE": "/run/token",
        "ROLLOUT_LEADER_ELECTION": "off",
        "ROLLOUT_SCRAPE_INTERVAL": "7.5",
        "ROLLOUT_HEALTH_HOST": "0.0.0.0",
        "ROLLOUT_HEALTH_PORT": "9000",
        "ROLLOUT_LOG_FORMAT": "console",
    }

    chosen = settings.read(environ=environ)

    assert chosen.prometheus_token_file == Path("/run/token")
    assert (chosen.leader_election, chosen.scrape_interval_seconds) == (False, 7.5)
    assert (chosen.health_host, chosen.health_port) == ("0.0.0.0", 9000)


@pytest.mark.parametrize(
    ("variable", "text", "remedy"),
    [
        ("ROLLOUT_WORKERS", "many", "whole number"),
        ("ROLLOUT_WORKERS", "0", "use 1 to 100"),
        ("ROLLOUT_WORKERS", "²", "whole number"),
        ("ROLLOUT_HEALTH_PORT", "70000", "use 0 to 65535"),
        ("ROLLOUT_SETTLE", "soon", "a duration such as"),
        ("ROLLOUT_SETTLE", "²", "a duration such as"),
        ("ROLLOUT_LEADER_ELECTION", "perhaps", "true or false"),
        ("ROLLOUT_LOG_FORMAT", "xml", "json or console"),
        ("ROLLOUT_PROMETHEUS_ADDRESS", "prometheus:9090", "http://prometheus.istio-system:9090"),
        ("ROLLOUT_ISTIOD_ADDRESS", "istiod:15014", "http://istiod.istio-system:15014"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_variable_and_a_remedy(
    variable: str, text: str, remedy: str
) -> None:
    with pytest.raises(BadManifest) as caught:
        settings.read(environ={variable: text})

    assert str(caught.value).startswith(
        f"{variable} is {text!r}" if not text.isdecimal() else variable
    )
    assert remedy in str(caught.value)


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ({"workers_count": 0}, "--workers is 0"),
        ({"settle_seconds": "x"}, "--settle is 'x'"),
        ({"log_format": "xml"}, "--log-format is 'xml'"),
    ],
)
def test_a_flag_that_cannot_be_used_is_told_as_the_flag(flags: dict[str, Any], told: str) -> None:
    with pytest.raises(BadManifest, match=told):
        settings.read(flags, {})


def test_what_kubernetes_sets_for_a_service_of_our_name_is_not_ours() -> None:
    chosen = settings.read(environ={"ROLLOUT_HEALTH_PORT": "tcp://10.0.0.7:8080"})

    assert chosen.health_port == 8080


def test_a_pod_takes_the_lease_in_its_own_namespace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "namespace").write_text("rollout-system\n")
    monkeypatch.setattr(settings, "NAMESPACE_FILE", tmp_path / "namespace")

    chosen = settings.read(environ={"ROLLOUT_NAMESPACE": "shop", "ROLLOUT_IDENTITY": "me"})

    assert (chosen.lease_namespace, chosen.identity) == ("rollout-system", "me")


def test_settings_do_not_change() -> None:
    chosen = settings.read(environ={})

    with pytest.raises(FrozenInstanceError):
        chosen.workers_count = 1  # type: ignore[misc]


def test_a_wrong_flag_is_told_by_the_name_it_is_typed_with() -> None:
    with pytest.raises(BadManifest, match=r"^--prometheus is 'nowhere'; use an address such as"):
        settings.read({"prometheus_address": "nowhere"}, {})


def test_slack_and_hooks_are_told_by_files_and_addresses() -> None:
    environ = {
        "ROLLOUT_SLACK_TOKEN_FILE": "/run/slack/bot",
        "ROLLOUT_SLACK_APP_TOKEN_FILE": "/run/slack/app",
        "ROLLOUT_SLACK_SECRET_FILE": "/run/slack/secret",
        "ROLLOUT_SLACK_CHANNEL": "#deploys",
        "ROLLOUT_SLACK_API": "https://slack-gov.com/api/",
        "ROLLOUT_SLACK_HOOKS": "https://hooks.slack-gov.com/",
        "ROLLOUT_SLACK_PROXY": "http://proxy.example.com:3128",
        "ROLLOUT_PRESS_HOST": "0.0.0.0",
        "ROLLOUT_PRESS_PORT": "0",
        "ROLLOUT_HOOKS": "https://hooks.example.com/rollout/",
        "ROLLOUT_LINK": "https://console.example.com/{namespace}/{name}",
    }

    chosen = settings.read(environ=environ)

    assert chosen.slack_token_file == Path("/run/slack/bot")
    assert chosen.slack_app_token_file == Path("/run/slack/app")
    assert chosen.slack_secret_file == Path("/run/slack/secret")
    assert (chosen.slack_channel, chosen.hooks) == ("#deploys", environ["ROLLOUT_HOOKS"])
    assert (chosen.slack_api, chosen.slack_hooks) == (
        "https://slack-gov.com/api/",
        "https://hooks.slack-gov.com/",
    )
    assert chosen.slack_proxy == "http://proxy.example.com:3128"
    assert (chosen.press_host, chosen.press_port) == ("0.0.0.0", 0)
    assert chosen.link == "https://console.example.com/{namespace}/{name}"


def test_by_default_nobody_is_told_and_presses_come_from_this_machine_alone() -> None:
    chosen = settings.read(environ={})

    files = (chosen.slack_token_file, chosen.slack_app_token_file, chosen.slack_secret_file)
    assert files == (None, None, None)
    assert (chosen.hooks, chosen.slack_channel, chosen.link, chosen.slack_proxy) == ("",) * 4
    assert chosen.press_host == "127.0.0.1"


@pytest.mark.parametrize(
    ("variable", "text", "remedy"),
    [
        ("ROLLOUT_SLACK_API", "slack.com/api", "https://slack.com/api/"),
        ("ROLLOUT_SLACK_HOOKS", "ftp://hooks", "https://hooks.slack.com/"),
        ("ROLLOUT_SLACK_PROXY", "proxy:3128", "http://proxy.example.com:3128"),
        ("ROLLOUT_PRESS_PORT", "70000", "use 0 to 65535"),
        ("ROLLOUT_PRESS_PORT", "eighty", "whole number"),
    ],
)
def test_what_slack_cannot_be_reached_by_is_told_with_its_variable_and_a_remedy(
    variable: str, text: str, remedy: str
) -> None:
    with pytest.raises(BadManifest) as caught:
        settings.read(environ={variable: text})

    assert caught.value.field == variable
    assert remedy in str(caught.value)


@pytest.mark.parametrize("text", ["tcp://10.0.0.7:8081", "udp://10.0.0.7:53"])
def test_a_service_called_rollout_press_does_not_set_the_port(text: str) -> None:
    assert settings.read(environ={"ROLLOUT_PRESS_PORT": text}).press_port == 8081
