"""Guards: what protects users while a canary is on trial, and is taken off again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from rollout.api.gate import Duration
from rollout.api.meta import Model

Count = Annotated[int, Field(ge=0, le=2_147_483_647)]
Amount = Annotated[int, Field(ge=1, le=2_147_483_647)]
WholePercent = Annotated[int, Field(ge=0, le=100)]


class OutlierDetection(Model):
    """Takes hosts that fail out of the canary's load balancing; passed on to Istio as it stands."""

    consecutive_gateway_errors: Count | None = None
    """Answers 502, 503 or 504 in a row that eject a host. 0: not looked at."""
    consecutive_5xx_errors: Annotated[Count | None, Field(alias="consecutive5xxErrors")] = None
    """Answers of 5xx in a row that eject a host. 0: not looked at. Absent: Istio's default, 5."""
    consecutive_local_origin_failures: Count | None = None
    """Failed connections in a row that eject a host; with ``splitExternalLocalOriginErrors``."""
    split_external_local_origin_errors: bool | None = None
    """True counts failed connections apart from answers."""
    interval: Duration | None = None
    """How often hosts are looked at. Absent: Istio's default, 10s."""
    base_ejection_time: Duration | None = None
    """How long a host stays out, times its ejections so far. Absent: Istio's default, 30s."""
    max_ejection_percent: WholePercent | None = None
    """How many of the canary's hosts may be out at one time. Absent: Istio's default, 10."""
    min_health_percent: WholePercent | None = None
    """Below so many healthy hosts nobody is ejected. Absent: Istio's default, 0."""


class TcpPool(Model):
    """Bounds of connections to the canary."""

    max_connections: Amount | None = None
    """Connections at one time, to all its hosts together."""
    connect_timeout: Duration | None = None
    """How long a connection may take to come about."""
    max_connection_duration: Duration | None = None
    """How old a connection may grow."""
    idle_timeout: Duration | None = None
    """How long a connection may be idle."""


class HttpPool(Model):
    """Bounds of requests to the canary; more of them are refused at once (flag UO)."""

    http1_max_pending_requests: Annotated[Amount | None, Field(alias="http1MaxPendingRequests")] = (
        None
    )
    """Requests that wait for a connection."""
    http2_max_requests: Annotated[Amount | None, Field(alias="http2MaxRequests")] = None
    """Requests at one time, HTTP/1.1 included."""
    max_requests_per_connection: Count | None = None
    """Requests that a connection serves before it is closed. 0: any number."""
    max_retries: Amount | None = None
    """Retries at one time."""
    idle_timeout: Duration | None = None
    """How long a connection without requests is kept."""


class ConnectionPool(Model):
    """Bounds of what the canary gets at one time; passed on to Istio as it stands."""

    tcp: TcpPool | None = None
    """Bounds of connections."""
    http: HttpPool | None = None
    """Bounds of requests."""


class Retries(Model):
    """How often a failed request is sent again."""

    attempts: Annotated[int, Field(ge=0, le=25)]
    """Times a request is sent again at most. 0: never."""
    per_try_timeout: Duration | None = None
    """How long each try may take. Absent: as long as the whole request."""
    retry_on: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    """Envoy's conditions and status codes, such as ``5xx,connect-failure``. Absent: Istio's."""


class Guard(Model):
    """What protects users during a run.

    The first two are written on the canary's subset in the DestinationRule before it gets traffic;
    a subset that has such a policy of its own keeps it. ``timeout`` and ``retries`` stand on
    managed routes in front of the owned http routes; a route that has its own keeps it.
    """

    outlier_detection: OutlierDetection | None = None
    """When a host of the canary is left out."""
    connection_pool: ConnectionPool | None = None
    """How much the canary gets at one time."""
    timeout: Duration | None = None
    """How long a request may take, to either revision."""
    retries: Retries | None = None
    """How often a failed request is sent again, to either revision."""

    def policies(self) -> Mapping[str, Mapping[str, Any]]:
        """What is to stand in the traffic policy of the canary's subset, by field."""
        wanted: dict[str, Model | None] = {
            "outlierDetection": self.outlier_detection,
            "connectionPool": self.connection_pool,
        }
        return {
            name: policy.model_dump(mode="json", by_alias=True, exclude_none=True)
            for name, policy in wanted.items()
            if policy is not None
        }
