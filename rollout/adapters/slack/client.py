"""Slack as the controller sees it: one session, one attempt for each call, errors of ours."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from datetime import datetime
from functools import partial
from random import Random, SystemRandom
from typing import TYPE_CHECKING, Any, TypeVar

import aiohttp

from rollout.adapters.slack import failures
from rollout.adapters.slack.options import Options
from rollout.adapters.slack.people import People
from rollout.adapters.slack.socket import SocketMode
from rollout.api.chat import Dialog, Handle, Member, Message, Press, Spot
from rollout.base.errors import ChatRefused, Overloaded
from rollout.ports import Clock, Workspace

if TYPE_CHECKING:
    from slack_sdk.web.async_client import AsyncWebClient
    from slack_sdk.web.async_slack_response import AsyncSlackResponse

T = TypeVar("T")

MARKER_EVENT = "rollout_message"
"""The metadata that our messages carry are of this type; what they hold anybody may read."""

SKEW_SECONDS = 60.0
"""How far Slack's clock and ours may be apart."""

PAGE_COUNT = 200
"""Messages in a page of history: what Slack advises at most."""

PAGES_MAX = 25
"""Pages that are looked through for a message of ours: 5,000 messages since it was first posted.
One that stands further back is not found, and shown twice: better than never."""

CHANNELS_PAGE_COUNT = 999

_UNREADABLE = frozenset(
    {"missing_scope", "not_in_channel", "channel_not_found", "thread_not_found"}
    | {"no_permission", "not_allowed_token_type"}
)
"""Why a channel's history is not for us to read, or there is none."""


class SlackChat:
    """A ports.Chat; made inside the running loop, closed by its maker."""

    def __init__(self, options: Options, *, clock: Clock, random: Random | None = None) -> None:
        self._options = options
        self._clock = clock
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(
                total=options.request_seconds, connect=options.connect_seconds
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        self._client = _library(options, self._session)
        self._parked: dict[str, float] = {}
        self._ids: dict[str, str] = {}
        self._self: Mapping[str, Any] | None = None
        self._people = People(self.ask, self._client, clock=clock)
        self._socket = SocketMode(
            self._socket_url,
            session=self._session,
            options=options,
            clock=clock,
            random=random or SystemRandom(),
        )

    @property
    def listening(self) -> bool:
        """Whether a socket for presses is open and has said hello."""
        return self._socket.listening

    @property
    def connections_count(self) -> int:
        """How many sockets of the app Slack knew of when ours last said hello."""
        return self._socket.connections_count

    async def close(self) -> None:
        """Let go of connections."""
        await self._session.close()

    async def serve(self, handle: Handle) -> None:
        """Hold a socket, and handle what is pressed."""
        await self._socket.serve(handle)

    async def workspace(self) -> Workspace:
        """Whom Slack takes us for, asked anew."""
        answer = await self.ask("auth.test", self._client.auth_test, harmless=True)
        self._self = {name: answer.get(name) for name in ("team_id", "enterprise_id", "bot_id")}
        scopes = str(answer.headers.get("x-oauth-scopes", ""))
        return Workspace(
            team=str(answer.get("team_id") or ""),
            url=str(answer.get("url") or ""),
            bot=str(answer.get("user_id") or ""),
            scopes=frozenset(scope.strip() for scope in scopes.split(",") if scope.strip()),
        )

    async def post(
        self,
        channel: str,
        message: Message,
        *,
        marker: str,
        thread: str = "",
        broadcast: bool = False,
        since: datetime | None = None,
    ) -> Spot:
        """Show a message, unless one with its marker is found that was shown since then."""
        if since is not None:
            found = await self._find(channel, marker, thread=thread, since=since)
            if found is not None:
                return found
        arguments: dict[str, Any] = {
            "channel": channel,
            "text": message.text,
            "metadata": {"event_type": MARKER_EVENT, "event_payload": {"marker": marker}},
            "unfurl_links": False,
            "unfurl_media": False,
        }
        if thread:
            arguments |= {"thread_ts": thread, "reply_broadcast": broadcast}
        answer = await self._shown(
            f"chat.postMessage in {channel}",
            message,
            lambda blocks: self._client.chat_postMessage(**arguments, **blocks),
            harmless=False,
        )
        self._ids[channel] = str(answer.get("channel"))
        return Spot(channel=str(answer.get("channel")), ts=str(answer.get("ts")))

    async def update(self, spot: Spot, message: Message) -> None:
        """Show something else in place of a message of ours."""
        await self._shown(
            f"chat.update in {spot.channel}",
            message,
            lambda blocks: self._client.chat_update(
                channel=spot.channel, ts=spot.ts, text=message.text, **blocks
            ),
            harmless=True,
        )

    async def whisper(self, press: Press, message: Message) -> None:
        """Answer where it was pressed: by the press's own address, else in the channel."""
        if press.answer_url and await self._answered(press, message):
            return
        if press.spot is None:
            raise ChatRefused(what="an answer to a press", code="expired_url", fault="late")
        spot = press.spot
        arguments: dict[str, Any] = {"thread_ts": press.thread} if press.thread else {}
        await self._shown(
            f"chat.postEphemeral in {spot.channel}",
            message,
            lambda blocks: self._client.chat_postEphemeral(
                channel=spot.channel, user=press.member, text=message.text, **arguments, **blocks
            ),
            harmless=True,
        )

    async def open_dialog(self, press: Press, dialog: Dialog) -> None:
        """Show a form to somebody who pressed a button."""
        await self.ask(
            "views.open",
            lambda: self._client.views_open(trigger_id=press.trigger, view=dict(dialog.view)),
            harmless=False,
        )

    async def who(self, member: str, *, groups: Collection[str] = ()) -> Member:
        """Who a member is; a minute old at most."""
        ours = await self._own()
        return await self._people.who(
            member,
            groups=groups,
            team=str(ours.get("team_id") or ""),
            enterprise=str(ours.get("enterprise_id") or ""),
        )

    # One attempt.

    async def ask(self, what: str, ask: Callable[[], Awaitable[T]], *, harmless: bool) -> T:
        """One call of the library, with errors of ours; see `failures`.

        A method that Slack wants to be left alone with is left alone: asking in vain counts too.
        """
        from slack_sdk.errors import SlackApiError  # noqa: PLC0415

        method = what.partition(" ")[0]
        left_seconds = self._parked.get(method, 0.0) - self._clock.monotonic_seconds()
        if left_seconds > 0:
            raise Overloaded(failures.SERVER, retry_after_seconds=left_seconds)
        try:
            return await ask()
        except SlackApiError as error:
            translated = failures.refused(error, what=what, harmless=harmless)
            if isinstance(translated, Overloaded):
                until_seconds = self._clock.monotonic_seconds() + translated.retry_after_seconds
                self._parked[method] = until_seconds
            # The library's error holds the whole answer, and would be printed as the cause.
            raise translated from None
        except failures.TROUBLE as error:
            raise failures.trouble(error, what=what, harmless=harmless) from None

    async def _shown(
        self,
        what: str,
        message: Message,
        show: Callable[[Mapping[str, Any]], Awaitable[AsyncSlackResponse]],
        *,
        harmless: bool,
    ) -> AsyncSlackResponse:
        """With blocks, and where Slack cannot show these, as text alone."""
        if message.blocks:
            blocks = {"blocks": [dict(block) for block in message.blocks]}
            try:
                return await self.ask(what, lambda: show(blocks), harmless=harmless)
            except ChatRefused as refused:
                if refused.fault != "content":
                    raise
        return await self.ask(what, lambda: show({}), harmless=harmless)

    async def _answered(self, press: Press, message: Message) -> bool:
        """Whether an answer went to the address that the press brought along."""
        from slack_sdk.webhook.async_client import AsyncWebhookClient  # noqa: PLC0415

        if not press.answer_url.startswith(self._options.hooks_url):
            return False
        hook = AsyncWebhookClient(
            press.answer_url, session=self._session, retry_handlers=[], logger=_silent()
        )
        hook.proxy = self._options.proxy or None
        body: dict[str, Any] = {
            "text": message.text,
            "response_type": "ephemeral",
            "replace_original": False,
        }
        if message.blocks:
            body["blocks"] = [dict(block) for block in message.blocks]
        if press.thread:
            body["thread_ts"] = press.thread
        try:
            answer = await hook.send_dict(body)
        except failures.TROUBLE:
            return False
        return bool(answer.status_code == 200 and answer.body.strip() == "ok")

    async def _socket_url(self) -> str:
        answer = await self.ask(
            "apps.connections.open",
            lambda: self._client.apps_connections_open(app_token=self._options.app_token),
            harmless=True,
        )
        return str(answer.get("url") or "")

    async def _own(self) -> Mapping[str, Any]:
        if self._self is None:
            await self.workspace()
        assert self._self is not None
        return self._self

    # Finding a message again.

    async def _find(
        self, channel: str, marker: str, *, thread: str, since: datetime
    ) -> Spot | None:
        """The first message of ours with the marker; None: there is none, or we may not look."""
        ours = await self._own()
        try:
            place = await self._channel_id(channel)
            found = [
                Spot(channel=place, ts=str(one["ts"]))
                async for one in self._messages(place, thread=thread, since=since)
                if one.get("bot_id") == ours.get("bot_id") and _marker(one) == marker
            ]
        except ChatRefused as refused:
            if refused.code in _UNREADABLE:
                return None
            raise
        return min(found, key=lambda spot: spot.ts, default=None)

    async def _messages(
        self, channel: str, *, thread: str, since: datetime
    ) -> AsyncIterator[Mapping[str, Any]]:
        arguments: dict[str, Any] = {
            "channel": channel,
            "oldest": f"{since.timestamp() - SKEW_SECONDS:.6f}",
            "include_all_metadata": True,
            "limit": PAGE_COUNT,
        }
        if thread:
            pages = self._pages(
                f"conversations.replies in {channel}",
                lambda cursor: self._client.conversations_replies(
                    ts=thread, **arguments, cursor=cursor
                ),
            )
        else:
            pages = self._pages(
                f"conversations.history in {channel}",
                lambda cursor: self._client.conversations_history(**arguments, cursor=cursor),
            )
        async for page in pages:
            for one in page.get("messages") or ():
                yield one

    async def _pages(
        self, what: str, turn: Callable[[str | None], Awaitable[AsyncSlackResponse]]
    ) -> AsyncIterator[AsyncSlackResponse]:
        """Page after page, as many as we look through."""
        cursor: str | None = None
        for _ in range(PAGES_MAX):
            page = await self.ask(what, partial(turn, cursor), harmless=True)
            yield page
            cursor = (page.get("response_metadata") or {}).get("next_cursor") or None
            if cursor is None:
                return

    async def _channel_id(self, channel: str) -> str:
        """The id of a channel that is named; posting takes names, and reading does not."""
        bare = channel.removeprefix("#")
        if channel in self._ids or (not channel.startswith("#") and _is_id(bare)):
            return self._ids.get(channel, channel)
        pages = self._pages(
            "conversations.list",
            lambda cursor: self._client.conversations_list(
                exclude_archived=True,
                types="public_channel,private_channel",
                limit=CHANNELS_PAGE_COUNT,
                cursor=cursor,
            ),
        )
        async for page in pages:
            for one in page.get("channels") or ():
                if one.get("name") == bare:
                    self._ids[channel] = str(one["id"])
                    return self._ids[channel]
        what = f"conversations.list for {channel}"
        raise ChatRefused(what, code="channel_not_found", fault="setup")


def _library(options: Options, session: aiohttp.ClientSession) -> AsyncWebClient:
    """Slack's client, as quiet and as plain as it gets.

    Its own retries would repeat a post whose answer was lost, and show it twice.
    """
    from slack_sdk.web.async_client import AsyncWebClient  # noqa: PLC0415

    client = AsyncWebClient(
        options.bot_token,
        base_url=options.api_url,
        session=session,
        retry_handlers=[],
        logger=_silent(),
    )
    client.proxy = options.proxy or None
    return client


def _silent() -> logging.Logger:
    """A logger that says nothing: the library's debug lines hold names, values and addresses."""
    logger = logging.getLogger("rollout.slack.library")
    logger.setLevel(logging.CRITICAL + 1)
    return logger


def _marker(message: Mapping[str, Any]) -> str:
    metadata = message.get("metadata") or {}
    if metadata.get("event_type") != MARKER_EVENT:
        return ""
    return str((metadata.get("event_payload") or {}).get("marker") or "")


def _is_id(name: str) -> bool:
    """Names of channels have no capital letters."""
    return len(name) >= 8 and name.isalnum() and name == name.upper() and name[0] in "CGD"
