"""The adapter before a server that misbehaves in every way we could think of."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from rollout.adapters import prometheus
from rollout.adapters.prometheus import Options, PrometheusMetrics
from rollout.base.errors import BadInput, BrokenAnswer, Overloaded, RolloutError, Unreachable
from tests.adapters.prometheus_manners import (
    GOOD,
    Handler,
    Server,
    answers,
    certificate,
    error,
    no_thread_is_left,
    until,
    well,
)

QUERY = "up"


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    own = Server(manners=well)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", own.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    own.url = f"http://{host}:{port}"
    yield own
    await runner.cleanup()


async def ask(
    server: Server, *, options: Options | None = None, timeout_seconds: float = 8.0, path: str = ""
) -> object:
    metrics = PrometheusMetrics(server.url + path, options=options)
    try:
        return await metrics.query(QUERY, time_seconds=12.5, timeout_seconds=timeout_seconds)
    finally:
        await metrics.close()


async def test_the_query_goes_into_the_body_of_a_post(server: Server) -> None:
    await ask(server, path="/prometheus/")

    method, path, headers, form = server.asked[0]
    assert (method, path) == ("POST", "/prometheus/api/v1/query")
    assert form["query"] == ["up"]
    assert form["time"] == ["12.500"]
    assert 7000 < int(form["timeout"][0].removesuffix("ms")) <= 8000
    assert headers["Accept-Encoding"] == "identity"


async def test_warnings_and_partial_marks_reach_the_caller(server: Server) -> None:
    body = '{"status":"success","warnings":["w"],"isPartial":true,"data":{}}'
    server.manners = answers(body)

    assert await ask(server) == {
        "status": "success",
        "warnings": ["w"],
        "isPartial": True,
        "data": {},
    }


async def test_parameters_and_headers_of_the_back_end_are_sent_and_ours_win(server: Server) -> None:
    options = Options(
        parameters={"partial_response": "false", "dedup": "true", "query": "never"},
        headers={"X-Scope-OrgID": "team-a"},
    )

    await ask(server, options=options)

    _, _, headers, form = server.asked[0]
    assert (form["partial_response"], form["dedup"], form["query"]) == (["false"], ["true"], ["up"])
    assert headers["X-Scope-OrgID"] == "team-a"


async def test_the_bearer_token_is_read_again_for_every_query(
    server: Server, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    metrics = PrometheusMetrics(server.url, options=Options(bearer_token_file=file))

    for token in ("first", "second\n"):
        file.write_text(token)
        await metrics.query(QUERY, time_seconds=None, timeout_seconds=8)
    await metrics.close()

    sent = [headers["Authorization"] for _, _, headers, _ in server.asked]
    assert sent == ["Bearer first", "Bearer second"]
    assert "time" not in server.asked[0][3]


@pytest.mark.parametrize("content", [None, b"", b"two words", b"\xff", b"line\nbreak"])
async def test_without_a_proper_token_nothing_is_sent_and_the_token_is_not_told(
    server: Server, tmp_path: Path, content: bytes | None
) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(Unreachable) as caught:
        await ask(server, options=Options(bearer_token_file=file))

    assert server.asked == []
    assert "token file" in str(caught.value)
    assert "words" not in str(caught.value)


@pytest.mark.parametrize(
    ("manners", "kind", "said"),
    [
        (error("bad_data", "parse error at char 4", status=400), BadInput, "parse error at char 4"),
        (
            error("execution", "query processing would load too many samples", status=422),
            BadInput,
            "too many samples",
        ),
        (error("execution", "many-to-many matching", status=200), BadInput, "many-to-many"),
        (error("timeout", "query timed out in expression", status=503), Overloaded, "overloaded"),
        (
            error("execution", "expanding series: context deadline exceeded", status=422),
            Overloaded,
            "overloaded",
        ),
        (answers("busy", status=503, kind="text/plain", Retry_After="7"), Overloaded, "wait 7 s"),
        (answers("slow down", status=429, kind="text/plain"), Overloaded, "wait 0 s"),
        (answers("x", status=429, kind="text/plain", Retry_After="soon"), Overloaded, "wait 0 s"),
        (answers("x", status=503, kind="text/plain", Retry_After="99999"), Overloaded, "300 s"),
        (answers("no upstream", status=502, kind="text/plain"), Unreachable, "HTTP 502: no up"),
        (error("internal", "disk on fire", status=500), Unreachable, "HTTP 500: disk on fire"),
        (answers("who are you", status=401, kind="text/plain"), BrokenAnswer, "HTTP 401"),
        (answers("404 page", status=404, kind="text/plain"), BrokenAnswer, "HTTP 404"),
        (answers("", status=302, Location="/login"), BrokenAnswer, "redirect is not followed"),
        (answers("<html>", kind="text/html"), BrokenAnswer, "text/html and not JSON"),
        (answers("{", kind="application/json"), BrokenAnswer, "broken JSON"),
        (answers("[]"), BrokenAnswer, "no object"),
        (answers("{}"), BrokenAnswer, "HTTP 200"),
        (answers("x" * 20, Content_Encoding="gzip"), BrokenAnswer, "cannot be unpacked"),
        (answers("[7]", status=500), Unreachable, "HTTP 500: [7]"),
    ],
)
async def test_each_way_to_fail_has_its_own_error_and_the_servers_words(
    server: Server, manners: Handler, kind: type[RolloutError], said: str
) -> None:
    server.manners = manners

    with pytest.raises(kind) as caught:
        await ask(server)

    assert said in str(caught.value)
    assert len(server.asked) == 1, "nothing is asked twice behind the caller's back"


async def test_an_answer_that_is_too_large_is_given_up_in_time(server: Server) -> None:
    server.manners = answers(b" " * 3_000_000)

    with pytest.raises(BrokenAnswer, match=r"more than 1,000,000 bytes"):
        await ask(server, options=Options(body_bytes_max=1_000_000))


async def test_of_an_endless_error_page_only_the_begin_is_read_and_told(server: Server) -> None:
    server.manners = answers(b"x" * 3_000_000, status=500, kind="text/plain")

    with pytest.raises(Unreachable) as caught:
        await ask(server)

    assert len(str(caught.value)) < 500


async def test_a_compressed_answer_is_bounded_as_what_it_unpacks_to(server: Server) -> None:
    async def zipped(_: web.Request) -> web.StreamResponse:
        response = web.Response(body=b" " * 3_000_000, content_type="application/json")
        response.enable_compression(web.ContentCoding.gzip)
        return response

    server.manners = zipped

    with pytest.raises(BrokenAnswer, match=r"more than 1,000,000 bytes"):
        await ask(server, options=Options(body_bytes_max=1_000_000))


async def test_a_server_that_never_answers_is_left_at_the_deadline(server: Server) -> None:
    async def never(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(60)
        raise AssertionError

    server.manners = never

    with pytest.raises(Unreachable, match="no answer"):
        await ask(server, timeout_seconds=0.2)


async def test_an_answer_that_drips_is_left_at_the_deadline_and_its_thread_ends(
    server: Server,
) -> None:
    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        while True:
            await response.write(b" ")
            await asyncio.sleep(0.02)

    server.manners = drip
    metrics = PrometheusMetrics(server.url)

    with pytest.raises(Unreachable, match=r"in time|within"):
        await metrics.query(QUERY, time_seconds=None, timeout_seconds=0.3)

    await metrics.close()
    await until(no_thread_is_left)


async def test_a_connection_that_breaks_in_mid_answer_is_unreachable(server: Server) -> None:
    async def break_off(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(
            headers={"Content-Type": "application/json", "Content-Length": "100"}
        )
        await response.prepare(request)
        await response.write(b"{")
        assert request.transport is not None
        request.transport.abort()
        return response

    server.manners = break_off

    with pytest.raises(Unreachable):
        await ask(server)


async def test_a_closed_port_is_told_in_the_systems_words_without_the_password() -> None:
    metrics = PrometheusMetrics("http://bob:secret@127.0.0.1:1/prom")

    with pytest.raises(Unreachable) as caught:
        await metrics.query(QUERY, time_seconds=None, timeout_seconds=8)

    await metrics.close()
    assert str(caught.value) == (
        "Prometheus at http://127.0.0.1:1/prom cannot be reached: Connection refused"
    )


async def test_an_address_that_is_none_is_unreachable_with_a_reason() -> None:
    metrics = PrometheusMetrics("nonsense")

    with pytest.raises(Unreachable, match=r"InvalidSchema|MissingSchema"):
        await metrics.query(QUERY, time_seconds=None, timeout_seconds=8)

    await metrics.close()


async def test_four_at_once_and_the_others_wait_within_their_own_timeout(server: Server) -> None:
    at_once: list[int] = [0, 0]
    gate = asyncio.Event()

    async def hold(_: web.Request) -> web.StreamResponse:
        at_once[0] += 1
        at_once[1] = max(at_once)
        await gate.wait()
        at_once[0] -= 1
        return web.json_response(GOOD)

    server.manners = hold
    metrics = PrometheusMetrics(server.url)

    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(metrics.query(QUERY, time_seconds=None, timeout_seconds=8))
            for _ in range(10)
        ]
        await until(lambda: at_once[0] == prometheus.WORKERS)
        with pytest.raises(Unreachable, match=r"within 0\.1 s"):
            await metrics.query(QUERY, time_seconds=None, timeout_seconds=0.1)
        gate.set()

    await metrics.close()
    assert [task.result() for task in tasks] == [GOOD] * 10
    assert at_once[1] == prometheus.WORKERS


async def test_a_caller_that_leaves_does_not_free_a_thread_that_is_still_busy(
    server: Server,
) -> None:
    release = asyncio.Event()

    async def hold(_: web.Request) -> web.StreamResponse:
        await release.wait()
        return web.json_response(GOOD)

    server.manners = hold
    metrics = PrometheusMetrics(server.url)
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(metrics.query(QUERY, time_seconds=None, timeout_seconds=8))
            for _ in range(prometheus.WORKERS)
        ]
        await until(lambda: len(server.asked) == prometheus.WORKERS)
        for task in tasks:
            task.cancel()

    with pytest.raises(Unreachable, match="within"):
        await metrics.query(QUERY, time_seconds=None, timeout_seconds=0.1)
    release.set()

    assert await metrics.query(QUERY, time_seconds=None, timeout_seconds=8) == GOOD
    await metrics.close()


async def test_after_closing_nothing_is_asked_and_no_thread_is_left(server: Server) -> None:
    metrics = PrometheusMetrics(server.url)
    await metrics.query(QUERY, time_seconds=None, timeout_seconds=8)

    await metrics.close()
    await metrics.close()

    with pytest.raises(Unreachable):
        await metrics.query(QUERY, time_seconds=None, timeout_seconds=0.2)
    assert len(server.asked) == 1
    await until(no_thread_is_left)


async def test_cookies_are_not_kept(server: Server) -> None:
    async def with_cookie(_: web.Request) -> web.StreamResponse:
        response = web.json_response(GOOD)
        response.set_cookie("session", "1")
        return response

    server.manners = with_cookie
    metrics = PrometheusMetrics(server.url)

    for _ in range(2):
        await metrics.query(QUERY, time_seconds=None, timeout_seconds=8)

    await metrics.close()
    assert "Cookie" not in server.asked[1][2]


async def test_the_environments_proxy_is_not_asked(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")

    assert await ask(server) == GOOD


async def test_a_certificate_of_ones_own_is_trusted_and_a_strangers_is_not(
    server: Server, tmp_path: Path
) -> None:
    mine, strangers = certificate(tmp_path / "mine"), certificate(tmp_path / "strangers")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*mine)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    server.url = f"https://127.0.0.1:{runner.addresses[0][1]}"

    found = await ask(server, options=Options(ca_file=mine[0]))
    with pytest.raises(Unreachable, match=r"certificate verify failed"):
        await ask(server, options=Options(ca_file=strangers[0]))
    with pytest.raises(Unreachable, match=r"certificate verify failed"):
        await ask(server)
    await runner.cleanup()

    assert found == GOOD


def test_a_missing_certificate_file_is_told_when_the_adapter_is_made(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"missing\.pem, where no file is"):
        PrometheusMetrics("https://127.0.0.1", options=Options(ca_file=tmp_path / "missing.pem"))


def test_importing_the_adapter_does_not_import_the_slow_client() -> None:
    script = (
        "import sys, rollout.adapters.prometheus; "
        "sys.exit('requests' in sys.modules or 'urllib3' in sys.modules)"
    )

    done = subprocess.run([sys.executable, "-c", script], check=False)

    assert done.returncode == 0
