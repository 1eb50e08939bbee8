"""Guards: what a team writes, and what of it stands in a DestinationRule."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from rollout.api.guard import Guard

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


@pytest.mark.parametrize(
    "wrong",
    [
        {"outlierDetection": {"consecutive5xxErrors": -1}},
        {"outlierDetection": {"maxEjectionPercent": 101}},
        {"outlierDetection": {"consecutiveErrors": 1}},
        {"connectionPool": {"tcp": {"maxConnections": 0}}},
        {"connectionPool": {"http": {"http2MaxRequests": 2**31}}},
    ],
)
def test_what_istio_would_refuse_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Guard.model_validate(wrong)
