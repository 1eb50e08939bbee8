"""The small HTTP/1.1: what is understood, what is refused."""

from __future__ import annotations

import asyncio

import pytest

from rollout.base.errors import BadManifest
from rollout.sandbox.wire import (
    BODY_BYTES_MAX,
    HEAD_BYTES_MAX,
    Answer,
    ClientConnection,
    Reception,
    Reply,
    Request,
    Server,
    parse_request,
)


def test_a_request_is_taken_apart() -> None:
    text = b"PUT /dials?version=v2&x=1 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}"

    taken = parse_request(text + b"GET /next")

    assert taken is not None
    request, used_bytes = taken
    assert used_bytes == len(text)
    assert (request.method, request.path, request.body) == ("PUT", "/dials", b"{}")
    assert request.headers["host"] == "a"
    assert request.argument("version") == "v2"
    assert not request.argument("absent")


@pytest.mark.parametrize("cut", [5, 20, 40, 55])
def test_a_request_is_not_taken_before_it_is_complete(cut: int) -> None:
    text = b"PUT /dials HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n123456789"

    assert parse_request(text[:cut]) is None


@pytest.mark.parametrize(
    "text",
    [
        b"nonsense\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: many\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (BODY_BYTES_MAX + 1),
        b"G" * (HEAD_BYTES_MAX + 1),
    ],
    ids=["no HTTP", "chunked", "no number", "large body", "large head"],
)
def test_what_is_not_understood_is_refused_with_a_remedy(text: bytes) -> None:
    with pytest.raises(BadManifest, match="send"):
        parse_request(text)


async def test_requests_on_one_connection_are_answered_in_turn() -> None:
    order: list[str] = []

    def handler(request: Request, reply: Reply) -> None:
        order.append(request.path)
        asyncio.get_running_loop().call_later(0.01, reply, Answer.of({"path": request.path}))

    server = Server(handler)
    port = await server.listen("127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    writer.write(b"GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n")
    said = await reader.readuntil(b'{"path":"/b"}')

    assert said.index(b'{"path":"/a"}') < said.index(b'{"path":"/b"}')
    assert order == ["/a", "/b"]
    writer.close()
    server.crash()


async def test_a_refused_request_is_told_why_and_the_connection_ends() -> None:
    server = Server(lambda _, reply: reply(Answer()))
    port = await server.listen("127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    writer.write(b"nonsense\r\n\r\n")
    said = await reader.read()

    assert said.startswith(b"HTTP/1.1 400")
    writer.close()
    server.crash()


async def connected(port: int) -> ClientConnection:
    _, client = await asyncio.get_running_loop().create_connection(
        lambda: ClientConnection(lambda _: None), "127.0.0.1", port
    )
    return client


async def test_the_client_hears_status_version_flag_and_grpc_status() -> None:
    headers = {"x-version": "v2", "x-envoy-flags": "UH", "grpc-status": "14"}
    server = Server(lambda _, reply: reply(Answer(status=503, body=b"no", headers=headers)))
    client = await connected(await server.listen("127.0.0.1", 0))
    heard: asyncio.Future[Reception | None] = asyncio.get_running_loop().create_future()

    client.send(b"GET / HTTP/1.1\r\n\r\n", heard.set_result)

    assert await heard == Reception(503, "v2", "UH", "14")
    client.close()
    server.crash()


async def test_a_connection_that_breaks_leaves_the_request_unanswered() -> None:
    server = Server(lambda _, reply: server.crash())  # noqa: ARG005 - it never replies
    client = await connected(await server.listen("127.0.0.1", 0))
    heard: asyncio.Future[Reception | None] = asyncio.get_running_loop().create_future()

    client.send(b"GET / HTTP/1.1\r\n\r\n", heard.set_result)

    assert await heard is None


async def test_a_request_after_the_connection_broke_is_unanswered_at_once() -> None:
    server = Server(lambda _, reply: reply(Answer()))
    client = await connected(await server.listen("127.0.0.1", 0))
    client.close()
    await asyncio.sleep(0.01)
    heard: list[Reception | None] = []

    client.send(b"GET / HTTP/1.1\r\n\r\n", heard.append)

    assert heard == [None]
    server.crash()
