"""Envoy's bootstrap."""

from __future__ import annotations

from pathlib import Path

from rollout.sandbox import envoy


def test_envoy_flushes_histograms_well_within_a_scrape() -> None:
    config = envoy.bootstrap(Path("/xds"), namespace="bookinfo")

    assert config["stats_flush_interval"] == "0.1s"
    assert config["admin"]["address"]["socket_address"]["address"] == "127.0.0.1"
    source = config["dynamic_resources"]["cds_config"]["path_config_source"]
    assert source == {"path": "/xds/cds.json"}
