"""The stand-in's sockets and signed requests, met by Slack's own library."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

import aiohttp
import pytest
from aiohttp import web
from slack_sdk.signature import SignatureVerifier
from slack_sdk.socket_mode.aiohttp import SocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.socket_mode.response import SocketModeResponse
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.webhook.async_client import AsyncWebhookClient

from tests.people.slackclients import LOG, buttons, client_of, section, until
from tests.people.slackworld import (
    APP_TOKEN,
    SIGNING_SECRET,
    Fault,
    Slack,
    Variety,
    presses,
    serving,
)

DEPLOYS = "C0DEPLOYS"


@contextlib.asynccontextmanager
async def library(
    slack: Slack, *, answer: bool = True, payload: dict[str, Any] | None = None
) -> AsyncIterator[list[SocketModeRequest]]:
    """The library's Socket Mode client, connected; gives what it was sent."""
    seen: list[SocketModeRequest] = []

    async def listen(client: Any, request: SocketModeRequest) -> None:
        seen.append(request)
        if answer:
            await client.send_socket_mode_response(
                SocketModeResponse(envelope_id=request.envelope_id, payload=payload)
            )

    async with client_of(slack, token=APP_TOKEN) as web_client:
        client = SocketModeClient(APP_TOKEN, web_client=web_client, logger=LOG, ping_interval=0.2)
        client.proxy = None
        client.socket_mode_request_listeners.append(listen)
        try:
            await client.connect()  # type: ignore[no-untyped-call]
            await until(lambda: bool(slack.sockets.live))
            yield seen
        finally:
            await client.close()  # type: ignore[no-untyped-call]
            await asyncio.sleep(0.02)


async def asked(slack: Slack) -> str:
    """A message of the app with a button; gives its ts."""
    async with client_of(slack) as client:
        done = await client.chat_postMessage(
            channel=DEPLOYS, text="may it?", blocks=[section("may it?"), buttons("yes", "no")]
        )
    return str(done["ts"])


async def test_a_press_reaches_the_library_and_its_answer_is_an_acknowledgement() -> None:
    async with serving() as slack, library(slack) as seen:
        ts = await asked(slack)

        done = await slack.press(channel=DEPLOYS, ts=ts, action="yes", user="U0ALICE")

    assert done.result == "acknowledged"
    assert seen[0].type == "interactive"
    assert seen[0].payload["actions"][0]["action_id"] == "yes"
    assert seen[0].payload["container"]["message_ts"] == ts
    assert slack.sockets.violations == []


async def test_a_press_that_nobody_acknowledges_fails_for_the_person_and_comes_once() -> None:
    async with serving() as slack, library(slack, answer=False) as seen:
        slack.sockets.ack_seconds = 0.2
        ts = await asked(slack)

        done = await slack.press(channel=DEPLOYS, ts=ts, action="yes", user="U0ALICE")

    assert done.result == "timeout"
    assert len(seen) == 1


async def test_without_a_socket_a_press_goes_nowhere() -> None:
    async with serving() as slack:
        ts = await asked(slack)
        done = await slack.press(channel=DEPLOYS, ts=ts, action="yes", user="U0ALICE")

    assert done.result == "no socket"


async def test_an_event_is_tried_again_with_a_new_envelope() -> None:
    async with serving() as slack, library(slack, answer=False) as seen:
        slack.sockets.ack_seconds = 0.05

        tried = await slack.sockets.event({"type": "event_callback"}, attempts=3)

    assert [one.result for one in tried] == ["timeout"] * 3
    assert len({request.envelope_id for request in seen}) == 3


async def test_a_press_may_be_delivered_twice() -> None:
    async with serving() as slack, library(slack) as seen:
        slack.sockets.switches.twice = True
        ts = await asked(slack)

        await slack.press(channel=DEPLOYS, ts=ts, action="yes", user="U0ALICE")

    assert len(seen) == 2
    assert seen[0].payload == seen[1].payload


async def test_a_ticket_opens_one_socket() -> None:
    async with serving() as slack, client_of(slack, token=APP_TOKEN) as client:
        url = (await client.apps_connections_open(app_token=APP_TOKEN))["url"]
        async with aiohttp.ClientSession() as session:
            async with session.ws_connect(url) as socket:
                hello = await socket.receive_json()
            with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                await session.ws_connect(url)

    assert (hello["type"], hello["num_connections"]) == ("hello", 1)
    assert caught.value.status == 404


async def test_a_ticket_expires() -> None:
    now = [1_000.0]
    async with serving(clock=lambda: now[0]) as slack:
        ticket = slack.world.ticket()
        now[0] += 31

        assert not slack.world.take(ticket)


async def opened(slack: Slack, session: aiohttp.ClientSession) -> aiohttp.ClientWebSocketResponse:
    return await session.ws_connect(
        f"{slack.address}/link/?ticket={slack.world.ticket()}", autoping=False
    )


async def test_the_eleventh_socket_is_told_that_there_are_too_many() -> None:
    async with serving() as slack, aiohttp.ClientSession() as session:
        held = [await opened(slack, session) for _ in range(10)]
        hellos = [(await one.receive_json())["num_connections"] for one in held]
        eleventh = await (await opened(slack, session)).receive_json()

    assert hellos == list(range(1, 11))
    assert eleventh["reason"] == "too_many_websockets"


async def test_a_mute_server_answers_no_ping_and_another_does() -> None:
    async with serving() as slack, aiohttp.ClientSession() as session:
        socket = await opened(slack, session)
        await socket.receive_json()
        await socket.ping(b"a")
        pong = await socket.receive()
        slack.sockets.switches.mute = True
        await socket.ping(b"b")
        with pytest.raises(TimeoutError):
            await socket.receive(timeout=0.05)

    assert (pong.type, pong.data) == (aiohttp.WSMsgType.PONG, b"a")


async def test_a_ghost_of_a_closed_socket_draws_presses_that_are_lost() -> None:
    async with serving() as slack, aiohttp.ClientSession() as session:
        slack.sockets.switches.ghosts = True
        slack.sockets.ack_seconds = 0.05
        socket = await opened(slack, session)
        await socket.receive_json()
        await socket.close()
        ts = await asked(slack)

        done = await slack.press(channel=DEPLOYS, ts=ts, action="yes", user="U0ALICE")

    assert done.result == "timeout"


async def test_acknowledgements_that_break_the_rules_are_noted() -> None:
    async with serving() as slack, aiohttp.ClientSession() as session:
        socket = await opened(slack, session)
        await socket.receive_json()
        event = asyncio.ensure_future(slack.sockets.event({}, attempts=1))
        envelope = (await socket.receive_json())["envelope_id"]
        await socket.send_json({"envelope_id": envelope, "payload": {"a": 1}})
        await event
        await socket.send_json({"envelope_id": envelope})
        await socket.send_json({"envelope_id": "other"})
        await socket.send_str("no json")
        await until(lambda: len(slack.sockets.violations) == 4)

    assert slack.sockets.violations == [
        "a payload in an acknowledgement that takes none",
        "an acknowledgement twice, or too late",
        "an acknowledgement of an unknown envelope",
        "a frame that is no acknowledgement",
    ]


@pytest.mark.parametrize("how", ["refresh_requested", "close", "cut"])
async def test_the_library_comes_back_when_its_socket_ends(how: str) -> None:
    async with serving() as slack, library(slack):
        link = slack.sockets.live[0]
        if how == "cut":
            slack.sockets.cut(link)
        elif how == "close":
            await link.socket.close()
        else:
            await slack.sockets.disconnect(link, how)

        await until(lambda: slack.sockets.dials >= 2 and len(slack.sockets.live) == 1)


async def test_a_response_url_takes_five_answers_within_half_an_hour() -> None:
    now = [1_000.0]
    async with serving(clock=lambda: now[0]) as slack, aiohttp.ClientSession() as session:
        ts = await asked(slack)
        await slack.press(channel=DEPLOYS, ts=ts, action="yes", user="U0ALICE")
        await slack.press(channel=DEPLOYS, ts=ts, action="no", user="U0ALICE")
        urls = [one.payload["response_url"] for one in slack.presses]
        hook = AsyncWebhookClient(urls[0], session=session, retry_handlers=[], logger=LOG)
        hook.proxy = None
        for _ in range(5):
            assert (await hook.send_dict({"text": "done"})).body == "ok"
        sixth = await hook.send_dict({"text": "done"})
        now[0] += 1801
        late = AsyncWebhookClient(urls[1], session=session, retry_handlers=[], logger=LOG)
        late.proxy = None
        expired = await late.send_dict({"text": "done"})

        assert (sixth.status_code, json.loads(sixth.body)["error"]) == (404, "expired_url")
        assert expired.status_code == 404
        assert len(slack.world.channels[DEPLOYS].ephemerals) == 5


async def test_a_response_url_can_replace_and_take_away_its_message() -> None:
    async with serving() as slack, aiohttp.ClientSession() as session:
        ts = await asked(slack)
        await slack.press(channel=DEPLOYS, ts=ts, action="yes", user="U0ALICE")
        url = slack.presses[0].payload["response_url"]
        messages = slack.world.channels[DEPLOYS].messages
        await session.post(url, json={"text": "new", "replace_original": True})
        replaced = messages[ts]["text"]
        await session.post(url, json={"delete_original": True})

        assert replaced == "new"
        assert ts not in messages


async def test_a_dialog_that_is_sent_closes_or_shows_what_is_wrong() -> None:
    view = {
        "type": "modal",
        "title": {"type": "plain_text", "text": "Why?"},
        "submit": {"type": "plain_text", "text": "Send"},
        "private_metadata": "kept",
        "blocks": [
            {
                "type": "input",
                "block_id": "why",
                "label": {"type": "plain_text", "text": "Why?"},
                "element": {"type": "plain_text_input", "action_id": "text"},
            }
        ],
    }
    wrong = {"response_action": "errors", "errors": {"why": "too short"}}
    async with serving() as slack, client_of(slack) as client:
        opened = await client.views_open(trigger_id=slack.world.trigger("U0ALICE"), view=view)
        name = opened["view"]["id"]
        async with library(slack, payload=wrong):
            await slack.submit(name, reason="no")
        held = (slack.world.views[name].open, slack.world.views[name].errors)
        async with library(slack) as seen:
            await slack.submit(name, reason="because")

    assert held == (True, {"why": "too short"})
    assert not slack.world.views[name].open
    sent = seen[0].payload["view"]
    assert sent["state"]["values"]["why"]["text"]["value"] == "because"
    assert sent["private_metadata"] == "kept"


@pytest.mark.parametrize(
    ("variety", "field", "found"),
    [
        (Variety(grid=True), "team", None),
        (Variety(without=("message",)), "message", None),
        (Variety(null=("channel",)), "channel", None),
        (Variety(value="old"), "actions", "old"),
    ],
)
async def test_payloads_differ_in_the_ways_that_are_known(
    variety: Variety, field: str, found: str | None
) -> None:
    async with serving() as slack:
        ts = await asked(slack)
        done = await slack.press(
            channel=DEPLOYS, ts=ts, action="yes", user="W0CAROL", variety=variety
        )

    told = done.payload.get(field)
    assert (told[0]["value"] if isinstance(told, list) else told) == found


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@contextlib.asynccontextmanager
async def receiving(handler: Handler) -> AsyncIterator[str]:
    """A web server of the app's; gives its address."""
    app = web.Application()
    app.router.add_post("/", handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


async def test_a_press_by_http_is_signed_so_that_the_library_believes_it() -> None:
    seen: list[tuple[bool, str]] = []

    async def handler(request: web.Request) -> web.Response:
        body = await request.read()
        verifier = SignatureVerifier(SIGNING_SECRET)
        payload = json.loads(parse_qs(body.decode())["payload"][0])
        seen.append((verifier.is_valid_request(body, dict(request.headers)), payload["type"]))
        return web.Response()

    async with serving() as slack, receiving(handler) as url:
        slack.world.request_url = url
        ts = await asked(slack)
        done = await slack.press(channel=DEPLOYS, ts=ts, action="yes", user="U0ALICE")

    assert done.result == "acknowledged"
    assert seen == [(True, "block_actions")]


async def test_an_answer_by_http_that_is_late_or_no_200_fails_for_the_person() -> None:
    async def handler(request: web.Request) -> web.Response:
        if "late" in (await request.read()).decode():
            await asyncio.sleep(0.3)
        return web.Response(status=503)

    async with serving() as slack, receiving(handler) as url:
        slack.world.request_url = url
        slack.sockets.ack_seconds = 0.1
        refused = await slack.post(b"a", {})
        late = await slack.post(b"late", {})

    assert (refused.result, late.result) == ("refused", "timeout")


def test_the_signature_is_the_one_of_slacks_own_page() -> None:
    body = (
        b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow"
        b"&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner"
        b"&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2F"
        b"commands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN"
        b"&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
    )

    made = presses.headers(body, secret="8f742231b10e8888abcd99yyyzzz85a5", timestamp=1531420618)

    assert made["X-Slack-Signature"] == (
        "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"
    )


async def test_the_librarys_default_repeats_a_post_whose_answer_was_lost() -> None:
    async with serving() as slack, aiohttp.ClientSession() as session:
        client = AsyncWebClient("xoxb-of-the-stand-in", base_url=slack.base_url, session=session)
        client.proxy = None
        slack.faults.plan("chat.postMessage", Fault.DROP_AFTER)
        began = time.monotonic()
        await client.chat_postMessage(channel=DEPLOYS, text="once?")

    assert time.monotonic() - began < 5
    assert len(slack.world.channels[DEPLOYS].messages) == 2
