"""Prometheus: its configuration, and where its binary comes from."""

from __future__ import annotations

from pathlib import Path

import pytest

from rollout.base.errors import CannotStart
from rollout.sandbox import prometheus


def test_every_scrape_is_a_second_after_the_last_and_times_out_before_the_next() -> None:
    config = prometheus.configuration("127.0.0.1:1", namespace="bookinfo")

    assert config["global"] == {"scrape_interval": "1s", "scrape_timeout": "900ms"}


def test_further_targets_are_scraped_as_they_are() -> None:
    targets = {"controller": "127.0.0.1:8080"}

    config = prometheus.configuration("127.0.0.1:1", namespace="bookinfo", targets=targets)

    assert config["scrape_configs"][1] == {
        "job_name": "controller",
        "static_configs": [{"targets": ["127.0.0.1:8080"]}],
    }


async def test_prometheus_on_path_is_preferred(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "prometheus"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert await prometheus.find_binary(tmp_path / "cache") == program


async def test_a_cached_prometheus_is_used_without_asking_anybody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "prometheus").touch()
    monkeypatch.setenv("PATH", "")

    assert await prometheus.find_binary(tmp_path) == tmp_path / "prometheus"


async def test_without_prometheus_and_apt_get_one_sentence_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")

    with pytest.raises(CannotStart, match=r"https://prometheus\.io/download"):
        await prometheus.find_binary(tmp_path)


async def test_a_download_that_fails_quotes_apt_get(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, code in {"apt-get": "echo no network; exit 100", "dpkg": "exit 1"}.items():
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\n{code}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(CannotStart) as caught:
        await prometheus.find_binary(tmp_path / "cache")

    assert caught.value.log.strip() == "no network"
    assert not (tmp_path / "cache" / "prometheus").exists()
