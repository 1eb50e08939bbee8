"""What every object has: a key, a kind, conditions; and the frozen base of the models."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
)
from pydantic.alias_generators import to_camel

Manifest = dict[str, Any]
"""An object as the API server sends it: decoded JSON, unknown fields and all."""


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """The name of an object within its kind; what the queue carries.

    Attributes:
        namespace: the object's namespace; empty for cluster-scoped kinds.
        name: the object's name.
    """

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of object and where its API lives.

    Attributes:
        group: API group; empty for the core group.
        version: API version, such as ``v1alpha1``.
        plural: the resource's name in URLs.
        kind: the name in manifests.
        metadata_only: ask the server for metadata alone (``PartialObjectMetadata``).
        namespaced: objects of the kind are in namespaces; else they belong to the whole cluster.
    """

    group: str
    version: str
    plural: str
    kind: str
    metadata_only: bool = False
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """``group/version`` as manifests spell it."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def prefix(self) -> str:
        """The path below which all objects of the group and version are."""
        return f"/apis/{self.api_version}" if self.group else f"/api/{self.version}"

    def path(self, *, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The URL path of a collection, an object, or a subresource of one."""
        parts = [self.prefix]
        if namespace:
            parts.append(f"namespaces/{namespace}")
        parts.append(self.plural)
        parts.extend(part for part in (name, subresource) if part)
        return "/".join(parts)

    def __str__(self) -> str:
        return self.kind


ROLLOUT = Kind(group="rollout.dev", version="v1alpha1", plural="rollouts", kind="Rollout")
ROLLOUT_ACTION = Kind(
    group="rollout.dev", version="v1alpha1", plural="rolloutactions", kind="RolloutAction"
)
ROLLOUT_POLICY = Kind(
    group="rollout.dev", version="v1alpha1", plural="rolloutpolicies", kind="RolloutPolicy"
)
CLUSTER_ROLLOUT_POLICY = Kind(
    group="rollout.dev",
    version="v1alpha1",
    plural="clusterrolloutpolicies",
    kind="ClusterRolloutPolicy",
    namespaced=False,
)
VIRTUAL_SERVICE = Kind(
    group="networking.istio.io", version="v1", plural="virtualservices", kind="VirtualService"
)
DESTINATION_RULE = Kind(
    group="networking.istio.io", version="v1", plural="destinationrules", kind="DestinationRule"
)
WORKLOAD_ENTRY = Kind(
    group="networking.istio.io", version="v1", plural="workloadentries", kind="WorkloadEntry"
)
SERVICE_ENTRY = Kind(
    group="networking.istio.io", version="v1", plural="serviceentries", kind="ServiceEntry"
)
SIDECAR = Kind(group="networking.istio.io", version="v1", plural="sidecars", kind="Sidecar")
ENVOY_FILTER = Kind(
    group="networking.istio.io", version="v1alpha3", plural="envoyfilters", kind="EnvoyFilter"
)
SERVICE = Kind(group="", version="v1", plural="services", kind="Service")
ENDPOINT_SLICE = Kind(
    group="discovery.k8s.io", version="v1", plural="endpointslices", kind="EndpointSlice"
)
POD = Kind(group="", version="v1", plural="pods", kind="Pod", metadata_only=True)
EVENT = Kind(group="", version="v1", plural="events", kind="Event")
LOCAL_ACCESS_REVIEW = Kind(
    group="authorization.k8s.io",
    version="v1",
    plural="localsubjectaccessreviews",
    kind="LocalSubjectAccessReview",
)
ADMISSION_POLICY = Kind(
    group="admissionregistration.k8s.io",
    version="v1",
    plural="validatingadmissionpolicies",
    kind="ValidatingAdmissionPolicy",
)
ADMISSION_POLICY_BINDING = Kind(
    group="admissionregistration.k8s.io",
    version="v1",
    plural="validatingadmissionpolicybindings",
    kind="ValidatingAdmissionPolicyBinding",
)
LEASE = Kind(group="coordination.k8s.io", version="v1", plural="leases", kind="Lease")


class Model(BaseModel):
    """The base of all models: frozen, unknown fields refused, camelCase outside.

    Numbers are finite: JSON has no other, and what cannot be written must not be held. A status is
    written by ``model_dump(mode="json", by_alias=True, exclude_none=True)`` and no other way.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        populate_by_name=True,
        use_attribute_docstrings=True,
        serialize_by_alias=True,
        allow_inf_nan=False,
    )


def print_time(moment: datetime) -> str:
    """RFC 3339 in UTC with milliseconds, as our statuses carry it: steps are timed to that."""
    utc = moment.astimezone(UTC)
    return utc.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _read_time(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return datetime.fromisoformat(value)
    except ValueError as error:
        problem = "use a time such as 2026-12-20T00:00:00Z"
        raise ValueError(problem) from error


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        problem = "use a time between the years 1 and 9999 in UTC"
        raise ValueError(problem) from error


Time = Annotated[
    AwareDatetime,
    BeforeValidator(_read_time),
    AfterValidator(_in_utc),
    PlainSerializer(print_time, return_type=str, when_used="always"),
]
"""An instant; read with any zone but never without one, held in UTC, printed with milliseconds."""
