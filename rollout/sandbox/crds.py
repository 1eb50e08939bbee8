"""CustomResourceDefinitions of the Istio kinds that the sandbox needs, in our own words.

Fields in which a slip of the hand would go unnoticed are typed; everything else is let be, so any
manifest that Istio takes is taken here. Istio's own CRDs may be used in their stead.
"""

from __future__ import annotations

from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]

GROUP = "networking.istio.io"
VERSIONS = ("v1", "v1beta1", "v1alpha3")  # all alike; v1 is stored

_STRING: Json = {"type": "string"}
_INTEGER: Json = {"type": "integer", "format": "int32"}
_STRINGS: Json = {"type": "array", "items": _STRING}
_STRING_MAP: Json = {"type": "object", "additionalProperties": _STRING}


def _open(**properties: Json) -> Json:
    """Return an object schema that knows some properties and lets the others be."""
    schema: Json = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {**schema, "properties": properties} if properties else schema


def _demanding(required: list[str], **properties: Json) -> Json:
    return {**_open(**properties), "required": required}


def _list(items: Json) -> Json:
    return {"type": "array", "items": items}


def _destination() -> Json:
    port = _open(number={**_INTEGER, "minimum": 0, "maximum": 65535})
    return _demanding(["host"], host=_STRING, subset=_STRING, port=port)


def _leg() -> Json:
    weight = {**_INTEGER, "minimum": 0}
    return _demanding(["destination"], destination=_destination(), weight=weight)


def _percentage() -> Json:
    return _open(value={"type": "number", "minimum": 0, "maximum": 100})


def _http_route() -> Json:
    return _open(
        name=_STRING,
        match=_list(_open()),
        route=_list(_leg()),
        timeout=_STRING,
        retries=_open(attempts=_INTEGER),
        mirror=_destination(),
        mirrorPercentage=_percentage(),
        mirrors=_list(_demanding(["destination"], destination=_destination())),
    )


def _stream_route() -> Json:
    return _open(match=_list(_open()), route=_list(_leg()))


def _virtual_service() -> Json:
    return _open(
        hosts=_STRINGS,
        gateways=_STRINGS,
        exportTo=_STRINGS,
        http=_list(_http_route()),
        tcp=_list(_stream_route()),
        tls=_list(_stream_route()),
    )


def _destination_rule() -> Json:
    policy = _open(connectionPool=_open(), loadBalancer=_open(), outlierDetection=_open())
    subset = _demanding(["name"], name=_STRING, labels=_STRING_MAP, trafficPolicy=policy)
    return _demanding(
        ["host"],
        host=_STRING,
        trafficPolicy=policy,
        subsets=_list(subset),
        exportTo=_STRINGS,
        workloadSelector=_open(matchLabels=_STRING_MAP),
    )


def _port() -> Json:
    number = {"type": "integer", "minimum": 1, "maximum": 65535}
    return _demanding(["number", "name"], number=number, name=_STRING, protocol=_STRING)


def _gateway() -> Json:
    server = _demanding(["hosts", "port"], hosts=_STRINGS, port=_port(), name=_STRING)
    return _open(selector=_STRING_MAP, servers=_list(server))


def _service_entry() -> Json:
    location = {**_STRING, "enum": ["MESH_EXTERNAL", "MESH_INTERNAL"]}
    kinds = ["NONE", "STATIC", "DNS", "DNS_ROUND_ROBIN", "DYNAMIC_DNS"]
    return _demanding(
        ["hosts"],
        hosts={**_STRINGS, "minItems": 1},
        addresses=_STRINGS,
        exportTo=_STRINGS,
        location=location,
        resolution={**_STRING, "enum": kinds},
        ports=_list(_port()),
        endpoints=_list(_workload_entry()),
        workloadSelector=_open(labels=_STRING_MAP),
    )


def _workload_entry() -> Json:
    return _open(
        address=_STRING,
        labels=_STRING_MAP,
        ports={"type": "object", "additionalProperties": {"type": "integer"}},
        weight=_INTEGER,
        serviceAccount=_STRING,
        locality=_STRING,
        network=_STRING,
    )


def _sidecar() -> Json:
    egress = _demanding(["hosts"], hosts=_STRINGS)
    return _open(
        workloadSelector=_open(labels=_STRING_MAP), egress=_list(egress), ingress=_list(_open())
    )


def _column(name: str, path: str, description: str, kind: str = "string") -> Json:
    return {"name": name, "jsonPath": path, "type": kind, "description": description}


_AGE = _column("Age", ".metadata.creationTimestamp", "Time since it was created.", "date")
_HOSTS = _column("Hosts", ".spec.hosts", "Hosts it is about.")


def _definition(
    kind: str,
    *,
    plural: str,
    short_name: str | None,
    spec: Json,
    columns: list[Json],
    description: str,
) -> Json:
    status = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    spec = {**spec, "description": description}
    schema = {
        "type": "object",
        "description": description,
        "properties": {"spec": spec, "status": status},
    }
    names: Json = {
        "kind": kind,
        "listKind": f"{kind}List",
        "plural": plural,
        "singular": kind.lower(),
        "categories": ["istio-io", "networking-istio-io"],
    }
    if short_name:
        names["shortNames"] = [short_name]
    versions = [
        {
            "name": version,
            "served": True,
            "storage": version == VERSIONS[0],
            "schema": {"openAPIV3Schema": schema},
            "subresources": {"status": {}},
            "additionalPrinterColumns": [*columns, _AGE],
        }
        for version in VERSIONS
    ]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {"group": GROUP, "names": names, "scope": "Namespaced", "versions": versions},
    }


def istio_crds() -> list[Json]:
    """Return the CRDs, each served as v1 (stored), v1beta1 and v1alpha3 with one schema.

    The kinds: VirtualService, DestinationRule, Gateway, ServiceEntry, Sidecar, WorkloadEntry, and
    EnvoyFilter, which is kept and not followed.
    """
    return [*_routing_kinds(), *_edge_kinds()]


def _routing_kinds() -> list[Json]:
    return [
        _definition(
            "VirtualService",
            plural="virtualservices",
            short_name="vs",
            spec=_virtual_service(),
            columns=[
                _column("Gateways", ".spec.gateways", "Gateways and sidecars that apply it."),
                _HOSTS,
            ],
            description="Where requests to some hosts are sent, and by which weights.",
        ),
        _definition(
            "DestinationRule",
            plural="destinationrules",
            short_name="dr",
            spec=_destination_rule(),
            columns=[_column("Host", ".spec.host", "Host it is about.")],
            description="The subsets of a host, and how connections to them are made.",
        ),
    ]


def _edge_kinds() -> list[Json]:
    return [
        _definition(
            "Gateway",
            plural="gateways",
            short_name="gw",
            spec=_gateway(),
            columns=[],
            description="Ports of a proxy at the edge of the mesh.",
        ),
        _definition(
            "ServiceEntry",
            plural="serviceentries",
            short_name="se",
            spec=_service_entry(),
            columns=[
                _HOSTS,
                _column("Location", ".spec.location", "Inside the mesh or outside."),
                _column("Resolution", ".spec.resolution", "How its addresses are found."),
            ],
            description="A service that the cluster's own registry does not know.",
        ),
        _definition(
            "Sidecar",
            plural="sidecars",
            short_name=None,
            spec=_sidecar(),
            columns=[],
            description="What the proxies beside some workloads listen to and can reach.",
        ),
        _definition(
            "EnvoyFilter",
            plural="envoyfilters",
            short_name=None,
            spec=_open(configPatches=_list(_open())),
            columns=[],
            description="Changes to what Istio makes of its objects for Envoy.",
        ),
        _definition(
            "WorkloadEntry",
            plural="workloadentries",
            short_name="we",
            spec=_workload_entry(),
            columns=[_column("Address", ".spec.address", "Where the workload listens.")],
            description="One workload outside of pods.",
        ),
    ]
