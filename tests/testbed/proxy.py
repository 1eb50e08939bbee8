"""Starts a real Envoy as a sidecar or a gateway, configured by istiod over ADS."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from rollout.sandbox import envoy
from rollout.sandbox.processes import Command, Probe, Processes
from tests.testbed.istio import READY_SECONDS_MAX, Istiod

NAME = "envoy"

APP = "client"
"""The caller's label `app`, which its Sidecar object selects."""

ISTIO_VERSION = "1.31.0"
"""What the proxy says that it is; istiod writes for that release."""

STATS_TAGS = (
    {"tag_name": "cluster_name", "regex": r"^cluster(\.(.+);)"},
    {"tag_name": "response_code", "regex": r"_rq(_(\d{3}))$"},
    {"tag_name": "response_code_class", "regex": r"_rq(_(\dxx))$"},
)
"""istiod ends a cluster's name in statistics with a semicolon; names are full of dots, on which
Envoy's own rules would cut them."""

HTTP2 = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


@dataclass(frozen=True, slots=True, kw_only=True)
class Who:
    """Whom istiod takes the proxy for.

    Attributes:
        kind: ``sidecar`` or ``router``; a gateway is the latter.
        labels: what Sidecar and Gateway objects select it by.
    """

    kind: str
    name: str
    namespace: str
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """A running Envoy.

    Attributes:
        folder: with its bootstrap.
    """

    folder: Path

    @property
    def admin_url(self) -> str:
        """Of its admin interface, without a slash at the end."""
        return f"http://{envoy.admin_address(self.folder)}"

    async def routes(self, session: aiohttp.ClientSession, virtual_host: str) -> list[Any]:
        """The routes of a virtual host, in order; empty when there is none of that name."""
        url = f"{self.admin_url}/config_dump?resource=dynamic_route_configs"
        async with session.get(url) as answer:
            if answer.status == 404:
                return []  # it has no route table at all
            dump = orjson.loads(await answer.read())
        for config in dump.get("configs", ()):
            for place in config["route_config"].get("virtual_hosts", ()):
                if place["name"] == virtual_host:
                    return list(place["routes"])
        return []


async def start(
    processes: Processes, folder: Path, *, who: Who, istiod: Istiod, probe: Probe
) -> Proxy:
    """Start Envoy; it is ready when it has the first configuration, and ends with ``processes``.

    Raises:
        CannotStart: it is not installed or did not come up.
    """
    config, admin = folder / "envoy.json", folder / "envoy-admin"
    config.write_bytes(orjson.dumps(bootstrap(istiod, who=who)))
    proxy = Proxy(folder=folder)

    async def is_ready() -> bool:
        return bool(envoy.admin_address(folder)) and await probe(f"{proxy.admin_url}/ready")

    command = Command(
        name=f"{NAME}-{who.namespace}-{who.name}",
        argv=[
            envoy.binary(),
            *("--config-path", str(config)),
            *("--admin-address-path", str(admin)),
            *("--concurrency", "1"),
            *("--drain-time-s", str(envoy.DRAIN_SECONDS)),
            *("--log-level", "warning"),
            "--use-dynamic-base-id",
        ],
        is_ready=is_ready,
    )
    await processes.start(command, ready_seconds_max=READY_SECONDS_MAX)
    return proxy


def bootstrap(istiod: Istiod, *, who: Who) -> dict[str, Any]:
    """Envoy's static configuration: who it is and where istiod is."""
    # No first answer is waited for only so long: a busy istiod must not mean an empty proxy.
    source = {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"}
    domain = f"{who.namespace}.svc.cluster.local"
    return {
        "node": {
            "id": f"{who.kind}~127.0.0.1~{who.name}-1.{who.namespace}~{domain}",
            "cluster": f"{who.name}.{who.namespace}",
            "metadata": {
                "NAMESPACE": who.namespace,
                "LABELS": dict(who.labels),
                "INSTANCE_IPS": "127.0.0.1",
                # Nothing redirects the caller's packets: it asks at a listener of its own.
                "INTERCEPTION_MODE": "NONE",
                "ISTIO_VERSION": ISTIO_VERSION,
                "CLUSTER_ID": "Kubernetes",
            },
        },
        "admin": {"address": _address(0)},
        "stats_flush_interval": f"{envoy.FLUSH_SECONDS}s",
        "stats_config": {"use_all_default_tags": False, "stats_tags": list(STATS_TAGS)},
        "dynamic_resources": {
            "ads_config": {
                "api_type": "DELTA_GRPC",
                "transport_api_version": "V3",
                "set_node_on_first_message_only": True,
                "grpc_services": [{"envoy_grpc": {"cluster_name": "xds-grpc"}}],
            },
            "cds_config": source,
            "lds_config": source,
        },
        "static_resources": {"clusters": [_istiod_cluster(istiod)]},
    }


def _istiod_cluster(istiod: Istiod) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": _address(istiod.xds_port)}}
    return {
        "name": "xds-grpc",
        "type": "STATIC",
        "connect_timeout": "1s",
        "typed_extension_protocol_options": {
            HTTP2: {
                "@type": f"type.googleapis.com/{HTTP2}",
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        },
        "load_assignment": {
            "cluster_name": "xds-grpc",
            "endpoints": [{"lb_endpoints": [endpoint]}],
        },
    }


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}
