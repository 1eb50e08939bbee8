"""The dials of a version: their bounds, and what they make it answer."""

from __future__ import annotations

from collections import Counter

import orjson
import pytest

from rollout.base.errors import BadManifest
from rollout.sandbox.wire import Answer, Request
from rollout.sandbox.workload import Control, Dials, Version


def request(method: str, path: str, *, query: str = "", body: object = None) -> Request:
    data = b"" if body is None else orjson.dumps(body)
    return Request(method=method, path=path, query=query, headers={}, body=data)


def told(control: Control, asked: Request) -> Answer:
    answers: list[Answer] = []
    control.handle(asked, answers.append)
    return answers[0]


def versions(*names: str) -> dict[str, Version]:
    return {name: Version(name, workload="reviews", seed=1) for name in names}


def answers(version: Version, count: int) -> Counter[int]:
    found: list[Answer] = []
    for _ in range(count):
        version.answer(request("GET", "/"), found.append)
    return Counter(answer.status for answer in found)


def test_a_healthy_version_says_who_it_is() -> None:
    version = versions("v2")["v2"]
    version.dials = Dials(latencyMs=0, latencySpreadMs=0)
    found: list[Answer] = []

    version.answer(request("GET", "/"), found.append)

    assert found[0].status == 200
    assert found[0].headers["x-version"] == "v2"
    assert orjson.loads(found[0].body) == {"service": "reviews", "version": "v2"}


def test_the_error_percent_is_the_share_of_errors() -> None:
    version = versions("v2")["v2"]
    version.dials = Dials(errorPercent=8, errorCode=502, latencyMs=0, latencySpreadMs=0)

    found = answers(version, 10_000)

    assert set(found) == {200, 502}
    assert abs(found[502] - 800) < 106  # four standard deviations, and the seed is fixed


def test_the_same_seed_gives_the_same_errors() -> None:
    dials = Dials(errorPercent=30, latencyMs=0, latencySpreadMs=0)
    first, second = versions("v1")["v1"], versions("v1")["v1"]
    first.dials = second.dials = dials

    assert answers(first, 500) == answers(second, 500)


def test_a_version_that_hangs_never_answers() -> None:
    version = versions("v1")["v1"]
    version.dials = Dials(hang=True, latencyMs=0, latencySpreadMs=0)

    assert answers(version, 5) == {}


def test_grpc_errors_are_http_200_with_a_status_of_their_own() -> None:
    version = versions("v1")["v1"]
    version.dials = Dials(grpcStatus=0, errorPercent=100, latencyMs=0, latencySpreadMs=0)
    found: list[Answer] = []

    version.answer(request("POST", "/"), found.append)

    assert (found[0].status, found[0].headers["grpc-status"]) == (200, "13")


def test_dials_are_turned_for_one_version_or_for_all() -> None:
    both = versions("v1", "v2")
    control = Control(both)

    told(control, request("PUT", "/dials", query="version=v2", body={"errorPercent": 8}))
    told(control, request("PUT", "/dials", body={"latencyMs": 5}))

    assert both["v1"].dials == Dials(latencyMs=5)
    assert both["v2"].dials == Dials(latencyMs=5, errorPercent=8)


@pytest.mark.parametrize(
    "dials",
    [
        {"errorPercent": 101},
        {"errorPercent": "8"},
        {"errorCode": 99},
        {"errorCode": 500.5},
        {"latencyMs": -1},
        {"hang": 1},
        {"grpcStatus": 17},
        {"errorPercent": True},
        {"speed": 3},
        [],
    ],
)
def test_a_dial_out_of_bounds_is_refused_and_nothing_is_turned(dials: object) -> None:
    both = versions("v1")

    answer = told(Control(both), request("PUT", "/dials", body=dials))

    assert answer.status == 400
    assert both["v1"].dials == Dials()


def test_an_unknown_version_or_path_is_not_found() -> None:
    control = Control(versions("v1"))

    assert told(control, request("GET", "/dials", query="version=v9")).status == 404
    assert told(control, request("GET", "/")).status == 404


def test_turning_dials_says_which_one_is_unknown() -> None:
    with pytest.raises(BadManifest, match="speed is no dial; use one of errorCode"):
        Dials().turned({"speed": 3})
