"""Guards: what a team writes, and what of it stands in a DestinationRule."""

from __future__ import annotations

from typing import Any

import pytest

from rollout.api.guard import Guard
from rollout.api.reading import read
from rollout.base.errors import BadManifest

WHOLE: dict[str, Any] = {
    "outlierDetection": {
        "consecutive5xxErrors": 3,
        "consecutiveGatewayErrors": 2,
        "splitExternalLocalOriginErrors": False,
        "interval": "1s",
        "baseEjectionTime": "3m",
        "maxEjectionPercent": 100,
    },
    "connectionPool": {
        "tcp": {"maxConnections": 1},
        "http": {"http1MaxPendingRequests": 1, "http2MaxRequests": 5},
    },
    "timeout": "2s",
    "retries": {"attempts": 3, "perTryTimeout": "500ms", "retryOn": "5xx"},
}


def test_a_guard_is_written_as_it_was_read() -> None:
    guard = read(Guard, WHOLE, at="guard")

    assert guard.model_dump(mode="json", by_alias=True, exclude_none=True) == WHOLE


@pytest.mark.parametrize(
    ("guard", "said"),
    [
        ({"outlierDetection": {"consecutive5xxError": 3}}, "did you mean consecutive5xxErrors"),
        ({"outlierDetection": {"maxEjectionPercent": 101}}, "use at most 100"),
        ({"connectionPool": {"tcp": {"maxConnections": 0}}}, "use at least 1"),
        ({"retries": {"perTryTimeout": "1s"}}, "attempts is missing; add it"),
    ],
)
def test_a_mistake_in_a_guard_is_told_with_field_and_remedy(
    guard: dict[str, Any], said: str
) -> None:
    with pytest.raises(BadManifest, match=said):
        read(Guard, guard, at="guard")


EJECTS = {"consecutive5xxErrors": 3, "baseEjectionTime": "1m30s", "maxEjectionPercent": 100}
POOL = {
    "tcp": {"maxConnections": 1, "connectTimeout": "500ms"},
    "http": {"http1MaxPendingRequests": 1, "http2MaxRequests": 2, "maxRequestsPerConnection": 0},
}


def test_policies_are_spelt_as_istio_spells_them_and_durations_as_they_were_written() -> None:
    guard = Guard.model_validate({"outlierDetection": EJECTS, "connectionPool": POOL})

    assert guard.policies() == {"outlierDetection": EJECTS, "connectionPool": POOL}


def test_what_stands_on_routes_is_no_policy_of_a_subset() -> None:
    assert Guard.model_validate({"timeout": "1s", "retries": {"attempts": 1}}).policies() == {}
