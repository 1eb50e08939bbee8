"""The load: open-loop, seeded, bounded, and its books are right."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import orjson
import pytest

from rollout.sandbox import load as loads
from rollout.sandbox.load import Books, Load, build_request, handle
from rollout.sandbox.wire import Answer, Reception, Reply, Request, Server


def request(method: str, path: str, *, query: str = "", body: bytes = b"") -> Request:
    return Request(method=method, path=path, query=query, headers={}, body=body)


def told(load: Load, asked: Request) -> Answer:
    answers: list[Answer] = []
    handle(load, asked, answers.append)
    return answers[0]


class Service:
    """A service that answers as it is told and counts what it got."""

    def __init__(self) -> None:
        self.taken: list[Request] = []
        self.is_silent = False
        self.server = Server(self.answer)

    def answer(self, asked: Request, reply: Reply) -> None:
        self.taken.append(asked)
        if not self.is_silent:
            reply(Answer(headers={"x-version": "v1"}))


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    found = Service()
    yield found
    found.server.crash()


async def aimed_at(service: Service, *, rps: float = 1000.0) -> Load:
    port = await service.server.listen("127.0.0.1", 0)
    sent = build_request(host="reviews", path="/", headers=["x-user: jason"])
    return Load(address="127.0.0.1", port=port, request=sent, rps=rps, seed=7)


async def until_quiet(load: Load) -> None:
    load.set_rate(0)
    while load.in_flight_count:  # noqa: ASYNC110 - it must be asked
        await asyncio.sleep(0.005)


async def test_every_answer_is_counted_by_version_and_code(service: Service) -> None:
    load = await aimed_at(service)

    load.set_rate(1000)
    while len(service.taken) < 50:  # noqa: ASYNC110 - it must be asked
        await asyncio.sleep(0.005)
    await until_quiet(load)

    total = load.books.total
    assert total.answers == {("v1", "200"): len(service.taken)}
    assert load.books.sent_count == len(service.taken)
    assert not total.outcomes
    assert service.taken[0].headers == {
        "host": "reviews",
        "user-agent": "rollout-sandbox",
        "x-user": "jason",
    }


async def test_a_service_that_is_not_there_is_counted_as_refused(service: Service) -> None:
    load = await aimed_at(service)
    service.server.crash()

    load.set_rate(1000)
    while load.books.sent_count < 20:  # noqa: ASYNC110 - it must be asked
        await asyncio.sleep(0.005)
    await until_quiet(load)

    assert load.books.total.outcomes == {"refused": load.books.sent_count}


async def test_a_connection_that_breaks_is_counted_as_closed(service: Service) -> None:
    service.is_silent = True
    load = await aimed_at(service)

    load.set_rate(1000)
    while len(service.taken) < 10:  # noqa: ASYNC110 - it must be asked
        await asyncio.sleep(0.005)
    load.set_rate(0)
    service.server.crash()
    await until_quiet(load)

    assert load.books.total.outcomes["closed"] >= 10
    assert not load.books.total.answers


async def test_what_takes_too_long_is_counted_as_timeout(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loads, "TIMEOUT_SECONDS", 0.05)
    service.is_silent = True
    load = await aimed_at(service)

    load.set_rate(500)
    while not load.books.total.outcomes["timeout"]:  # noqa: ASYNC110 - it must be asked
        await asyncio.sleep(0.005)
    await until_quiet(load)

    assert set(load.books.total.outcomes) == {"timeout"}


async def test_slow_answers_do_not_slow_the_asking_down_until_the_bound(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loads, "IN_FLIGHT_MAX", 20)
    service.is_silent = True
    load = await aimed_at(service)

    load.set_rate(2000)
    while load.books.total.outcomes["dropped"] < 10:  # noqa: ASYNC110 - it must be asked
        await asyncio.sleep(0.005)
    load.set_rate(0)

    assert load.books.sent_count == 20
    assert load.in_flight_count == 20
    service.server.crash()
    await until_quiet(load)


def test_answers_of_envoy_itself_have_no_version_but_a_flag() -> None:
    books = Books()

    books.answered(Reception(503, "", "NC", ""), at=100.2)
    books.answered(Reception(200, "v1", "-", ""), at=100.9)
    books.answered(Reception(200, "v1", "-", "13"), at=101.1)

    shown = books.shown(newest=600)
    assert shown["answers"] == {"unknown": {"503": 1}, "v1": {"200": 1, "200/13": 1}}
    assert shown["flags"] == {"NC": {"503": 1}}


def test_each_second_has_a_bucket_and_old_ones_go() -> None:
    books = Books()

    for second in range(loads.BUCKETS_MAX + 5):
        books.answered(Reception(200, "v1", "-", ""), at=1000.0 + second)

    seconds = books.shown(newest=loads.BUCKETS_MAX + 5)["seconds"]
    assert isinstance(seconds, list)
    assert len(seconds) == loads.BUCKETS_MAX
    assert seconds[0]["at"] == 1005
    assert seconds[-1]["answers"] == {"v1": {"200": 1}}
    assert books.shown(newest=0)["seconds"] == []


async def test_the_rate_is_put_and_shown(service: Service) -> None:
    load = await aimed_at(service)

    answer = told(load, request("PUT", "/rate", body=b'{"rps": 250}'))

    assert answer.status == 200
    shown = orjson.loads(told(load, request("GET", "/counters", query="seconds=5")).body)
    assert shown["rps"] == 250
    assert set(shown) == {"rps", "inFlight", "sent", "answers", "flags", "outcomes", "seconds"}
    await until_quiet(load)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"rps": -1}', b'{"rps": 2001}', b'{"rps": true}', b'{"rps": "3"}']
)
async def test_a_rate_out_of_bounds_is_refused(service: Service, body: bytes) -> None:
    load = await aimed_at(service)

    answer = told(load, request("PUT", "/rate", body=body))

    assert answer.status == 400
    assert load.rps == 1000.0


async def test_other_paths_are_not_found(service: Service) -> None:
    load = await aimed_at(service)

    assert told(load, request("GET", "/")).status == 404
