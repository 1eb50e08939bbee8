"""Whose a series is, and what became of its requests."""

from __future__ import annotations

import pytest

from rollout.analysis import arm
from rollout.analysis.arm import Arms, Fate, Side

WORKLOADS = Arms(label="destination_workload", stable="reviews-v1", canary="reviews-v2")
REVISIONS = Arms(label="destination_canonical_revision", stable="latest", canary="v2")


@pytest.mark.parametrize(
    ("workload", "flags", "side"),
    [
        ("reviews-v1", "-", Side.STABLE),
        ("reviews-v2", "-", Side.CANARY),
        ("reviews-v2", "UF,URX", Side.CANARY),
        ("reviews-v9", "-", Side.OTHER),
        ("unknown", "UH", Side.NOBODY),
        ("unknown", "UO", Side.NOBODY),
        ("unknown", "NR", Side.NOBODY),
        ("unknown", "URX,NC", Side.NOBODY),
        ("unknown", "-", Side.OTHER),
    ],
)
def test_the_workload_tells_the_arm_and_no_upstream_belongs_to_nobody(
    workload: str, flags: str, side: Side
) -> None:
    assert (
        arm.side_of({"destination_workload": workload, "response_flags": flags}, WORKLOADS) is side
    )


def test_a_lost_request_is_nobodys_though_its_revision_reads_like_an_arm() -> None:
    lost = {
        "destination_workload": "unknown",
        "destination_canonical_revision": "latest",
        "response_flags": "UH",
    }

    assert arm.side_of(lost, REVISIONS) is Side.NOBODY
    assert arm.side_of({**lost, "response_flags": "-"}, REVISIONS) is Side.STABLE
    assert arm.side_of({"response_flags": "NR"}, REVISIONS) is Side.NOBODY


@pytest.mark.parametrize(
    ("metric", "fate"),
    [
        ({"response_code": "200"}, Fate.GOOD),
        ({"response_code": "404"}, Fate.GOOD),
        ({"response_code": "500"}, Fate.BAD),
        ({"response_code": "503", "response_flags": "UF"}, Fate.BAD),
        ({"response_code": "0", "response_flags": "UC"}, Fate.BAD),
        ({"response_code": "0", "response_flags": "-"}, Fate.BAD),
        ({"response_code": "0", "response_flags": "DC"}, Fate.CLIENT_GONE),
        ({"response_code": "200", "response_flags": "DC"}, Fate.GOOD),
        ({"response_code": "200", "grpc_response_status": "0"}, Fate.GOOD),
        ({"response_code": "200", "grpc_response_status": "5"}, Fate.GOOD),
        ({"response_code": "200", "grpc_response_status": "14"}, Fate.BAD),
        ({"response_code": "200", "grpc_response_status": "4"}, Fate.BAD),
        ({}, Fate.GOOD),
    ],
)
def test_5xx_grpc_errors_and_no_response_are_bad_and_a_client_that_left_is_neither(
    metric: dict[str, str], fate: Fate
) -> None:
    assert arm.request_fate(metric) is fate


@pytest.mark.parametrize(
    ("flags", "failed"),
    [
        ("-", False),
        ("DC", False),
        ("UF,URX", True),
        ("UH", True),
        ("CONNECT", True),
        ("TLS_FAILURE", True),
    ],
)
def test_a_connection_failed_when_a_flag_says_so(flags: str, failed: bool) -> None:
    assert arm.connection_failed({"response_flags": flags}) is failed
