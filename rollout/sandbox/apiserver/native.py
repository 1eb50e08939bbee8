"""The built-in kinds: those of Kubernetes itself that a sandbox needs, as one table.

Their objects are taken as they come: no schema is checked but the few rules of ``rules``.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from rollout.sandbox.apiserver.kinds import COMMON_FIELDS, Column, Resource, Scale, Version
from rollout.sandbox.apiserver.refusals import Label
from rollout.sandbox.apiserver.tables import AGE, age_of
from rollout.sandbox.apiserver.trees import Json, Tree, dig, mapping, sequence

OPEN_SCHEMA: Json = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
DEFINITIONS = ("apiextensions.k8s.io", "customresourcedefinitions")
NAMESPACES = ("", "namespaces")
EVENTS = ("", "events")

_EVENT_FIELDS = frozenset(
    [f"involvedObject.{one}" for one in ("kind", "namespace", "name", "uid", "apiVersion")]
    + [f"involvedObject.{one}" for one in ("resourceVersion", "fieldPath")]
    + ["reason", "type", "reportingComponent", "source"]
)
_POD_FIELDS = frozenset(
    [
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.serviceAccountName",
        "status.phase",
        "status.podIP",
    ]
)
_REPLICAS = Scale(
    spec_replicas=".spec.replicas", status_replicas=".status.replicas", selector=".status.selector"
)


def _read(*path: str, default: Tree = "") -> Callable[[Json, datetime], Tree]:
    def cell(body: Json, _: datetime) -> Tree:
        value = dig(body, *path)
        return default if value is None else value

    return cell


def _count(*path: str) -> Callable[[Json, datetime], Tree]:
    def cell(body: Json, _: datetime) -> Tree:
        return len(dig(body, *path) or ())

    return cell


def _joined(values: list[str]) -> str:
    return ",".join(values) if values else "<none>"


def _ready(have: tuple[str, ...], want: tuple[str, ...]) -> Callable[[Json, datetime], Tree]:
    def cell(body: Json, _: datetime) -> Tree:
        return f"{dig(body, *have) or 0}/{dig(body, *want) or 0}"

    return cell


def _pod_ready(body: Json, _: datetime) -> Tree:
    statuses = sequence(dig(body, "status", "containerStatuses"))
    ready = sum(1 for one in statuses if mapping(one).get("ready"))
    return f"{ready}/{len(sequence(dig(body, 'spec', 'containers')))}"


def _pod_phase(body: Json, _: datetime) -> Tree:
    if dig(body, "metadata", "deletionTimestamp"):
        return "Terminating"
    return dig(body, "status", "reason") or dig(body, "status", "phase") or "Unknown"


def _pod_restarts(body: Json, _: datetime) -> Tree:
    statuses = sequence(dig(body, "status", "containerStatuses"))
    return str(sum(mapping(one).get("restartCount") or 0 for one in statuses))


def _ports(body: Json, _: datetime) -> Tree:
    ports = [mapping(one) for one in sequence(dig(body, "spec", "ports"))]
    return _joined([f"{one.get('port')}/{one.get('protocol', 'TCP')}" for one in ports])


def _selector(body: Json, _: datetime) -> Tree:
    found = mapping(dig(body, "spec", "selector"))
    return _joined([f"{key}={value}" for key, value in found.items()])


def _external(body: Json, _: datetime) -> Tree:
    return _joined([str(one) for one in sequence(dig(body, "spec", "externalIPs"))])


def _endpoints(body: Json, _: datetime) -> Tree:
    found: list[str] = []
    for subset in sequence(body.get("subsets")):
        ports = [str(mapping(one).get("port")) for one in sequence(mapping(subset).get("ports"))]
        for address in sequence(mapping(subset).get("addresses")):
            ip = str(mapping(address).get("ip"))
            found.extend(f"{ip}:{port}" for port in ports)
            found.extend([ip] if not ports else [])
    return _joined(found)


def _slice_ports(body: Json, _: datetime) -> Tree:
    return _joined([str(mapping(one).get("port")) for one in sequence(body.get("ports"))])


def _slice_addresses(body: Json, _: datetime) -> Tree:
    ends = sequence(body.get("endpoints"))
    found = [str(ip) for one in ends for ip in sequence(mapping(one).get("addresses"))]
    return _joined(found)


def _event_seen(body: Json, now: datetime) -> Tree:
    series = dig(body, "series", "lastObservedTime")
    stamp = series or body.get("lastTimestamp") or body.get("eventTime")
    return age_of(stamp or dig(body, "metadata", "creationTimestamp"), now)


def _event_object(body: Json, _: datetime) -> Tree:
    about = mapping(body.get("involvedObject"))
    return f"{str(about.get('kind', '')).lower()}/{about.get('name', '')}"


def _wide(name: str, cell: Callable[[Json, datetime], Tree]) -> Column:
    return Column(name=name, cell=cell, priority=1)


def _plain(name: str, cell: Callable[[Json, datetime], Tree]) -> Column:
    return Column(name=name, cell=cell)


_POD_COLUMNS = (
    _plain("Ready", _pod_ready),
    _plain("Status", _pod_phase),
    _plain("Restarts", _pod_restarts),
    AGE,
    _wide("IP", _read("status", "podIP", default="<none>")),
    _wide("Node", _read("spec", "nodeName", default="<none>")),
)
_SERVICE_COLUMNS = (
    _plain("Type", _read("spec", "type")),
    _plain("Cluster-IP", _read("spec", "clusterIP", default="<none>")),
    _plain("External-IP", _external),
    _plain("Port(s)", _ports),
    AGE,
    _wide("Selector", _selector),
)
_EVENT_COLUMNS = (
    _plain("Last Seen", _event_seen),
    _plain("Type", _read("type")),
    _plain("Reason", _read("reason")),
    _plain("Object", _event_object),
    _plain("Message", _read("message")),
)
_DEPLOYMENT_COLUMNS = (
    _plain("Ready", _ready(("status", "readyReplicas"), ("spec", "replicas"))),
    _plain("Up-to-date", _read("status", "updatedReplicas", default=0)),
    _plain("Available", _read("status", "availableReplicas", default=0)),
    AGE,
)
_REPLICASET_COLUMNS = (
    _plain("Desired", _read("spec", "replicas", default=0)),
    _plain("Current", _read("status", "replicas", default=0)),
    _plain("Ready", _read("status", "readyReplicas", default=0)),
    AGE,
)
_SLICE_COLUMNS = (
    _plain("AddressType", _read("addressType")),
    _plain("Ports", _slice_ports),
    _plain("Endpoints", _slice_addresses),
    AGE,
)
_DEFINITION_COLUMNS = (_plain("Created At", _read("metadata", "creationTimestamp")),)


def _native(  # noqa: PLR0913  one row of the table below, every cell by name
    api: str,
    kind: str,
    plural: str,
    *,
    short_names: tuple[str, ...] = (),
    columns: tuple[Column, ...] = (AGE,),
    namespaced: bool = True,
    status: bool = False,
    scale: Scale | None = None,
    selectable: frozenset[str] = frozenset(),
    generations: bool = False,
    storage: tuple[str, str] | None = None,
    workload: bool = False,
    extra_subresources: tuple[str, ...] = (),
) -> Resource:
    group, _, version = api.rpartition("/")
    return Resource(
        label=Label(group=group, plural=plural, kind=kind),
        singular=kind.lower(),
        list_kind=f"{kind}List",
        namespaced=namespaced,
        versions={
            version: Version(
                name=version,
                schema=OPEN_SCHEMA,
                columns=columns,
                status=status,
                scale=scale,
                selectable=COMMON_FIELDS | selectable,
            )
        },
        storage=storage or (group, plural),
        short_names=short_names,
        categories=("all",) if workload else (),
        counts_generations=generations,
        extra_subresources=extra_subresources,
    )


_TABLE = (
    _native(
        "v1",
        "Namespace",
        "namespaces",
        short_names=("ns",),
        namespaced=False,
        status=True,
        columns=(_plain("Status", _read("status", "phase")), AGE),
        selectable=frozenset({"status.phase"}),
        extra_subresources=("finalize",),
    ),
    _native(
        "v1",
        "Pod",
        "pods",
        short_names=("po",),
        status=True,
        columns=_POD_COLUMNS,
        selectable=_POD_FIELDS,
        workload=True,
    ),
    _native(
        "v1",
        "Service",
        "services",
        short_names=("svc",),
        status=True,
        columns=_SERVICE_COLUMNS,
        workload=True,
    ),
    _native(
        "v1",
        "Endpoints",
        "endpoints",
        short_names=("ep",),
        columns=(_plain("Endpoints", _endpoints), AGE),
    ),
    _native(
        "v1",
        "Event",
        "events",
        short_names=("ev",),
        columns=_EVENT_COLUMNS,
        selectable=_EVENT_FIELDS,
    ),
    _native(
        "v1",
        "ConfigMap",
        "configmaps",
        short_names=("cm",),
        columns=(_plain("Data", _count("data")), AGE),
    ),
    _native("v1", "ServiceAccount", "serviceaccounts", short_names=("sa",)),
    _native(
        "apps/v1",
        "Deployment",
        "deployments",
        short_names=("deploy",),
        columns=_DEPLOYMENT_COLUMNS,
        status=True,
        scale=_REPLICAS,
        generations=True,
        workload=True,
    ),
    _native(
        "apps/v1",
        "ReplicaSet",
        "replicasets",
        short_names=("rs",),
        columns=_REPLICASET_COLUMNS,
        status=True,
        scale=_REPLICAS,
        generations=True,
        workload=True,
    ),
    _native(
        "discovery.k8s.io/v1",
        "EndpointSlice",
        "endpointslices",
        columns=_SLICE_COLUMNS,
        generations=True,
    ),
    _native(
        "coordination.k8s.io/v1",
        "Lease",
        "leases",
        columns=(_plain("Holder", _read("spec", "holderIdentity")), AGE),
    ),
    _native(
        "events.k8s.io/v1",
        "Event",
        "events",
        columns=_EVENT_COLUMNS,
        short_names=("ev",),
        storage=EVENTS,
        selectable=_EVENT_FIELDS,
    ),
    _native(
        "apiextensions.k8s.io/v1",
        "CustomResourceDefinition",
        "customresourcedefinitions",
        short_names=("crd", "crds"),
        namespaced=False,
        status=True,
        columns=_DEFINITION_COLUMNS,
        generations=True,
    ),
)


def resources() -> tuple[Resource, ...]:
    """Return the built-in kinds."""
    return _TABLE
