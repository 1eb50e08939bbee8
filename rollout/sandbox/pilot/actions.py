"""What a route does with a request, in Envoy's words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rollout.sandbox.pilot.clusters import MIRROR_PREFIX, cluster_name
from rollout.sandbox.pilot.world import Config, Manifest, duration, fraction, long_name

FAULT = "envoy.filters.http.fault"

DEFAULT_RETRY_ON = "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes"
"""Istio's default names no status code, so a plain 503 is not tried again."""

_REDIRECTS = {
    301: "MOVED_PERMANENTLY",
    302: "FOUND",
    303: "SEE_OTHER",
    307: "TEMPORARY_REDIRECT",
    308: "PERMANENT_REDIRECT",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """How destinations of one VirtualService are resolved.

    Attributes:
        namespace: what short host names mean.
        port: the port asked for; a destination that names none is asked on the same, or on its
            only one.
        ports_of: the port numbers of a host; empty for an unknown one.
        traffic_of: the traffic policy of a host's subset.
    """

    namespace: str
    port: int
    ports_of: Callable[[str], tuple[int, ...]]
    traffic_of: Callable[[str, str], Manifest]

    def cluster(self, destination: Manifest) -> str:
        """The cluster's name, whether or not there is such a cluster: if not, Envoy answers NC."""
        host = long_name(destination["host"], namespace=self.namespace)
        number = (destination.get("port") or {}).get("number")
        if number is None:
            ports = self.ports_of(host)
            number = ports[0] if len(ports) == 1 else self.port
        return cluster_name(port=number, subset=destination.get("subset") or "", host=host)


def fill(envoy_route: Config, route: Manifest, *, aim: Aim) -> None:
    """Give ``envoy_route`` the action of an Istio ``http`` route."""
    if "redirect" in route:
        envoy_route["redirect"] = _redirect(route["redirect"])
    elif "directResponse" in route:
        envoy_route["direct_response"] = _direct(route["directResponse"])
    else:
        envoy_route["route"] = _forward(route, aim=aim)
        _set_headers(envoy_route, _single_headers(route))
    _set_headers(envoy_route, route.get("headers") or {})
    if route.get("fault"):
        envoy_route["typed_per_filter_config"] = {FAULT: _fault(route["fault"])}


def weighted(destinations: Iterable[Manifest], *, aim: Aim) -> list[tuple[Manifest, Config]]:
    """The legs that get something, with Envoy's name and weight for each.

    Of several destinations those with weight 0 or none are left out. If that leaves none, Envoy
    will refuse the list, and keep what it had; so would it for Istio.
    """
    return [
        (leg, {"name": aim.cluster(leg["destination"]), "weight": leg["weight"]})
        for leg in destinations
        if leg.get("weight")
    ]


def mirrors(route: Manifest) -> list[tuple[Manifest, Manifest | None]]:
    """Destination and percentage of each mirror, whichever way they are written."""
    found = [(m["destination"], m.get("percentage")) for m in route.get("mirrors") or ()]
    if route.get("mirror"):
        percent = route.get("mirrorPercentage")
        if percent is None and "mirrorPercent" in route:
            percent = {"value": route["mirrorPercent"]}
        found.append((route["mirror"], percent))
    return found


def _forward(route: Manifest, *, aim: Aim) -> Config:
    legs: Sequence[Manifest] = route.get("route") or ()
    action: Config = {}
    if len(legs) == 1:
        action["cluster"] = aim.cluster(legs[0]["destination"])
    else:
        action["weighted_clusters"] = {"clusters": _clusters(legs, aim=aim)}
    # Istio: neither timeout nor retries act while a fault is set on the route.
    has_fault = bool(route.get("fault"))
    action["timeout"] = "0s" if has_fault else duration(route.get("timeout") or "0s")
    retries = None if has_fault else _retries(route.get("retries"))
    if retries is not None:
        action["retry_policy"] = retries
    _rewrite(action, route.get("rewrite") or {})
    if policies := [_mirror(to, percent, aim=aim) for to, percent in mirrors(route)]:
        action["request_mirror_policies"] = policies
    if hashes := _hash_policies(legs, aim=aim):
        action["hash_policy"] = hashes
    return action


def _clusters(legs: Iterable[Manifest], *, aim: Aim) -> list[Config]:
    clusters = []
    for leg, cluster in weighted(legs, aim=aim):
        _set_headers(cluster, leg.get("headers") or {})
        clusters.append(cluster)
    return clusters


def _single_headers(route: Manifest) -> Manifest:
    legs: Sequence[Manifest] = route.get("route") or ()
    headers: Manifest = (legs[0].get("headers") or {}) if len(legs) == 1 else {}
    return headers


def _mirror(destination: Manifest, percent: Manifest | None, *, aim: Aim) -> Config:
    return {
        "cluster": MIRROR_PREFIX + aim.cluster(destination),
        "runtime_fraction": {"default_value": fraction(percent)},
        "disable_shadow_host_suffix_append": True,
    }


def _retries(wish: Manifest | None) -> Config | None:
    if wish is None:
        return {
            "num_retries": 2,
            "retry_on": DEFAULT_RETRY_ON,
            "host_selection_retry_max_attempts": "5",
        }
    if not wish.get("attempts"):
        return None
    codes: list[str] = []
    words: list[str] = []
    for word in (wish.get("retryOn") or DEFAULT_RETRY_ON).split(","):
        (codes if word.strip().isdecimal() else words).append(word.strip())
    if codes and "retriable-status-codes" not in words:
        words.append("retriable-status-codes")
    policy: Config = {"num_retries": wish["attempts"], "retry_on": ",".join(words)}
    if codes:
        policy["retriable_status_codes"] = [int(code) for code in codes]
    if wish.get("perTryTimeout"):
        policy["per_try_timeout"] = duration(wish["perTryTimeout"])
    return policy


def _rewrite(action: Config, wish: Manifest) -> None:
    if "uri" in wish:
        action["prefix_rewrite"] = wish["uri"]
    if "authority" in wish:
        action["host_rewrite_literal"] = wish["authority"]
    if "uriRegexRewrite" in wish:
        regex = wish["uriRegexRewrite"]
        pattern = {"regex": regex["match"]}
        action["regex_rewrite"] = {"pattern": pattern, "substitution": regex["rewrite"]}


def _hash_policies(legs: Iterable[Manifest], *, aim: Aim) -> list[Config]:
    for leg in legs:
        destination = leg["destination"]
        host = long_name(destination["host"], namespace=aim.namespace)
        traffic = aim.traffic_of(host, destination.get("subset") or "")
        wish = (traffic.get("loadBalancer") or {}).get("consistentHash") or {}
        if "httpHeaderName" in wish:
            return [{"header": {"header_name": wish["httpHeaderName"]}}]
        if "httpCookie" in wish:
            cookie = wish["httpCookie"]
            return [{"cookie": {"name": cookie["name"], "ttl": duration(cookie.get("ttl", "0s"))}}]
        if wish.get("useSourceIp"):
            return [{"connection_properties": {"source_ip": True}}]
        if "httpQueryParameterName" in wish:
            return [{"query_parameter": {"name": wish["httpQueryParameterName"]}}]
    return []


def _set_headers(target: Config, wish: Manifest) -> None:
    for side in ("request", "response"):
        changes = wish.get(side) or {}
        for action, how in (
            ("set", "OVERWRITE_IF_EXISTS_OR_ADD"),
            ("add", "APPEND_IF_EXISTS_OR_ADD"),
        ):
            for name, value in sorted((changes.get(action) or {}).items()):
                header = {"header": {"key": name, "value": value}, "append_action": how}
                target.setdefault(f"{side}_headers_to_add", []).append(header)
        if changes.get("remove"):
            target.setdefault(f"{side}_headers_to_remove", []).extend(changes["remove"])


def _redirect(wish: Manifest) -> Config:
    code = wish.get("redirectCode") or 301
    action: Config = {"response_code": _REDIRECTS.get(code, "MOVED_PERMANENTLY")}
    names = {"uri": "path_redirect", "authority": "host_redirect", "port": "port_redirect"}
    action.update({name: wish[ours] for ours, name in names.items() if wish.get(ours)})
    if wish.get("scheme"):
        action["scheme_redirect"] = wish["scheme"]
    return action


def _direct(wish: Manifest) -> Config:
    action: Config = {"status": wish["status"]}
    body = wish.get("body") or {}
    if "string" in body:
        action["body"] = {"inline_string": body["string"]}
    elif "bytes" in body:
        action["body"] = {"inline_bytes": body["bytes"]}
    return action


def _fault(wish: Manifest) -> Config:
    found: dict[str, Any] = {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault"
    }
    delay, abort = wish.get("delay"), wish.get("abort")
    if delay:
        percentage = fraction(delay.get("percentage"))
        found["delay"] = {"fixed_delay": duration(delay["fixedDelay"]), "percentage": percentage}
    if abort:
        found["abort"] = {"percentage": fraction(abort.get("percentage"))}
        if "grpcStatus" in abort:
            found["abort"]["grpc_status"] = _grpc_number(abort["grpcStatus"])
        else:
            found["abort"]["http_status"] = abort["httpStatus"]
    return found


_GRPC_NAMES = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)


def _grpc_number(status: str) -> int:
    return int(status) if status.isdecimal() else _GRPC_NAMES.index(status)
