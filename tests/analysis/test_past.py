"""Questions about the hours before a run."""

from __future__ import annotations

import pytest

from rollout.analysis import past
from rollout.analysis.arm import Arms
from rollout.analysis.past import Asked
from rollout.base.errors import BadManifest

HOST = "reviews.default.svc.cluster.local"
ARMS = Arms(label="destination_workload", stable="reviews-v1", canary="reviews-v2")


def test_answers_are_bounded_and_durations_are_asked_for_with_edges_only() -> None:
    asked = past.questions(HOST, ARMS, edges_ms=[250])

    assert set(asked) == set(Asked)
    for pods in (asked[Asked.PODS], asked[Asked.POD_DURATIONS]):
        assert "topk(40, max by (pod,instance)" in pods
        assert pods.endswith(")[14400s:60s]")
    assert 'le=~"250|250\\\\.0|\\\\+Inf"' in asked[Asked.DURATIONS]
    assert set(past.questions(HOST, ARMS)) == {Asked.PODS, Asked.BASE, Asked.EARLIER}


def test_each_kind_of_bad_request_is_asked_for_and_clients_that_left_are_not() -> None:
    asked = past.questions(HOST, ARMS)[Asked.BASE]

    assert 'response_code=~"5.*"' in asked
    assert 'grpc_response_status=~"2|4|8|13|14|15"' in asked
    assert asked.count('response_code="0",response_flags!~"(.*,)?DC(,.*)?"') == 3
    assert 'response_flags!~"(.*,)?(NC|NR|UH|UO)(,.*)?"' in asked


def test_values_stay_values() -> None:
    odd = past.questions(HOST, Arms(label="version", stable='v"1', canary="v2"))

    assert 'version="v\\"1"' in odd[Asked.PODS]
    with pytest.raises(BadManifest, match="no DNS name"):
        past.questions('x"} or up{', ARMS)
