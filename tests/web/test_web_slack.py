"""Presses by HTTP: the same as over a socket, and nothing at all for whoever is not Slack."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping
from urllib.parse import urlencode

import aiohttp
import pytest

from rollout.api import press
from rollout.api.chat import REASON_ACTION, REASON_BLOCK, Dialog, Handle, Press, Pressed
from rollout.web import slack as web_slack
from tests.people.chats import DEPLOYS, Hands, acknowledging, asking, chatting
from tests.people.slackclients import until
from tests.people.slackworld import SIGNING_SECRET, Delivered, Slack, presses, serving


@contextlib.asynccontextmanager
async def door(slack: Slack, handle: Handle, *, clock: Hands | None = None) -> AsyncIterator[str]:
    async with web_slack.serving(
        handle, secrets=(SIGNING_SECRET,), clock=clock or Hands(), host="127.0.0.1", port=0
    ) as port:
        slack.world.request_url = f"http://127.0.0.1:{port}{web_slack.PATH}"
        yield slack.world.request_url


async def pressing(slack: Slack) -> Delivered:
    async with chatting(slack) as chat:
        spot = await chat.post(DEPLOYS, asking("rollout.approve", value="ask"), marker="1")
    return await slack.press(channel=DEPLOYS, ts=spot.ts, action="rollout.approve", user="U0BOB")


async def test_a_press_by_http_is_the_same_as_one_over_a_socket() -> None:
    seen: list[Press] = []
    async with serving() as slack, door(slack, acknowledging(seen)):
        done = await pressing(slack)

        assert done.result == "acknowledged"
        assert seen == [press.read(done.payload, ack=seen[0].ack)]
        assert (seen[0].what, seen[0].member, seen[0].value) == (Pressed.BUTTON, "U0BOB", "ask")


async def test_the_answer_is_given_with_the_acknowledgement_and_the_work_may_take_longer() -> None:
    finished = asyncio.Event()

    async def then(_: Press) -> None:
        await asyncio.sleep(web_slack.ANSWER_SECONDS_MAX + 0.1)
        finished.set()

    async with serving() as slack, door(slack, acknowledging([], then)):
        done = await pressing(slack)
        early = finished.is_set()
        await asyncio.wait_for(finished.wait(), 4)

    assert (done.result, early) == ("acknowledged", False)


async def test_a_press_that_is_not_acknowledged_fails_for_the_person() -> None:
    async def handle(_: Press) -> None:
        return

    async with serving() as slack, door(slack, handle):
        done = await pressing(slack)

    assert (done.result, done.status) == ("refused", 503)


async def test_a_handler_that_takes_too_long_is_ended_before_slack_gives_up() -> None:
    ended = asyncio.Event()

    async def handle(_: Press) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with serving() as slack, door(slack, handle):
        done = await pressing(slack)

    assert (done.status, ended.is_set()) == (503, True)


async def test_a_handler_learns_that_its_acknowledgement_came_too_late() -> None:
    clock = Hands()
    told: list[bool] = []

    async def handle(one: Press) -> None:
        told.append(await one.ack())
        clock.ahead_seconds += 3
        told.append(await one.ack())

    async def late(one: Press) -> None:
        clock.ahead_seconds += 3
        told.append(await one.ack())

    async with serving() as slack:
        async with door(slack, handle, clock=clock):
            await pressing(slack)
        clock.ahead_seconds = 0
        async with door(slack, late, clock=clock):
            await pressing(slack)

    assert told == [True, True, False]


async def test_a_dialog_shows_what_is_wrong_with_its_reason() -> None:
    view = {
        "type": "modal",
        "callback_id": "rollout.reject",
        "title": {"type": "plain_text", "text": "Why?"},
        "submit": {"type": "plain_text", "text": "Reject"},
        "private_metadata": press.note("ask", None),
        "blocks": [
            {
                "type": "input",
                "block_id": REASON_BLOCK,
                "label": {"type": "plain_text", "text": "Reason"},
                "element": {"type": "plain_text_input", "action_id": REASON_ACTION},
            }
        ],
    }

    async with serving() as slack, chatting(slack) as chat:

        async def handle(one: Press) -> None:
            if one.what is Pressed.BUTTON:
                await chat.open_dialog(one, Dialog(view=view))
            await one.ack("say more" if one.reason == "no" else "")

        async with door(slack, handle):
            await pressing(slack)
            opened = next(iter(slack.world.views))
            await slack.submit(opened, reason="no")
            held = slack.world.views[opened].errors
            await slack.submit(opened, reason="too slow")

        assert held == {REASON_BLOCK: "say more"}
        assert not slack.world.views[opened].open


def body_of(payload: object) -> bytes:
    return urlencode({"payload": json.dumps(payload)}).encode()


PRESS = {
    "type": "block_actions",
    "user": {"id": "U0BOB"},
    "actions": [{"type": "button", "action_id": "a", "value": "v", "action_ts": "1"}],
}


Forge = Callable[[int], tuple[bytes, dict[str, str]]]


def signing(
    *,
    body: bytes = body_of(PRESS),
    more: bytes = b"",
    secret: str = SIGNING_SECRET,
    late_seconds: int = 0,
    timestamp: str = "",
    without: str = "",
    **instead: str,
) -> Forge:
    """Makes a request that is wrong in one way."""

    def forge(now: int) -> tuple[bytes, dict[str, str]]:
        made = presses.headers(body, secret=secret, timestamp=timestamp or now + late_seconds)
        made |= {f"X-Slack-{name.title()}": value for name, value in instead.items()}
        return body + more, {name: value for name, value in made.items() if name != without}

    return forge


FORGED: Mapping[str, Forge] = {
    "old": signing(late_seconds=-301),
    "from the future": signing(late_seconds=310),
    "other secret": signing(secret="other"),
    "no number": signing(timestamp="1.5"),
    "no timestamp": signing(without="X-Slack-Request-Timestamp"),
    "no signature": signing(without="X-Slack-Signature"),
    "other body": signing(more=b"&a=b"),
    "no ASCII": signing(signature="v0=ü"),
    "too large": signing(body=b"a" * (web_slack.BODY_BYTES_MAX + 1)),
}


@pytest.mark.parametrize("how", FORGED)
async def test_whoever_is_not_slack_gets_401_and_not_a_word(how: str) -> None:
    seen: list[Press] = []
    async with serving() as slack, door(slack, acknowledging(seen)) as url:
        body, headers = FORGED[how](int(slack.world.clock()))
        async with (
            aiohttp.ClientSession() as session,
            session.post(url, data=body, headers=headers) as answer,
        ):
            told = (answer.status, await answer.read())

    assert told == (401, b"")
    assert seen == []


async def test_a_request_that_is_sent_again_is_not_slacks() -> None:
    seen: list[Press] = []
    async with serving() as slack, door(slack, acknowledging(seen)):
        body, headers = presses.signed(
            PRESS, secret=SIGNING_SECRET, timestamp=int(slack.world.clock())
        )
        first = await slack.post(body, headers)
        second = await slack.post(body, headers)

    assert (first.status, second.status, len(seen)) == (200, 401, 1)


async def test_names_of_headers_may_be_written_in_any_way() -> None:
    seen: list[Press] = []
    async with serving() as slack, door(slack, acknowledging(seen)):
        body, headers = presses.signed(
            PRESS, secret=SIGNING_SECRET, timestamp=int(slack.world.clock())
        )
        done = await slack.post(body, {name.lower(): value for name, value in headers.items()})

    assert (done.status, len(seen)) == (200, 1)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"ssl_check=1&token=x", 200),
        (body_of({"type": "view_closed"}), 200),
        (body_of({"type": "block_actions"}), 400),
        (body_of(["no object"]), 400),
        (b"payload=%7B", 400),
        (b"payload=" + b"%5B" * 5000, 400),
        (b"nothing=1", 400),
        (b"", 400),
        (b"payload=\xff\xfe", 400),
        (b"&".join(b"a%d=b" % number for number in range(20)), 400),
    ],
)
async def test_what_slack_sends_and_is_no_press_is_handled_by_nobody(
    body: bytes, status: int
) -> None:
    seen: list[Press] = []
    async with serving() as slack, door(slack, acknowledging(seen)):
        headers = presses.headers(body, secret=SIGNING_SECRET, timestamp=int(slack.world.clock()))
        done = await slack.post(body, headers)

    assert (done.status, seen) == (status, [])


async def test_a_body_that_never_ends_does_not_hold_the_door() -> None:
    async def slowly() -> AsyncIterator[bytes]:
        yield b"payload="
        await asyncio.sleep(30)

    async with (
        serving() as slack,
        door(slack, acknowledging([])) as url,
        aiohttp.ClientSession() as session,
        session.post(url, data=slowly()) as answer,
    ):
        assert answer.status == 503


async def test_no_more_presses_are_taken_on_than_can_be_handled() -> None:
    release = asyncio.Event()
    count = 0

    async def handle(one: Press) -> None:
        nonlocal count
        count += 1
        await release.wait()
        await one.ack()

    async with serving() as slack, door(slack, handle):
        sent = []
        for number in range(web_slack.HANDLED_COUNT_MAX + 1):
            payload = {**PRESS, "trigger_id": str(number)}
            body, headers = presses.signed(
                payload, secret=SIGNING_SECRET, timestamp=int(slack.world.clock())
            )
            sent.append(asyncio.ensure_future(slack.post(body, headers)))
        await until(lambda: count == web_slack.HANDLED_COUNT_MAX)
        await until(lambda: any(one.done() for one in sent))
        release.set()
        statuses = sorted([(await one).status for one in sent])

    assert statuses == [200] * web_slack.HANDLED_COUNT_MAX + [503]


@pytest.mark.parametrize(("verb", "path"), [("get", web_slack.PATH), ("post", "/")])
async def test_nothing_else_is_served(verb: str, path: str) -> None:
    async with serving() as slack, door(slack, acknowledging([])) as url:
        where = url.removesuffix(web_slack.PATH) + path
        async with aiohttp.ClientSession() as session, session.request(verb, where) as answer:
            assert answer.status in {404, 405}
