"""``/_control``: how a test that runs elsewhere sees into the stand-in, and presses its buttons."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from aiohttp import web

from tests.people.slackworld import presses
from tests.people.slackworld.presses import NothingToPressError, Variety
from tests.people.slackworld.server import Slack
from tests.people.slackworld.world import Channel, User


class Control:
    """The routes.

    ``GET messages?channel=deploys`` (heads, each with its thread and buttons) · ``GET ephemerals``
    · ``GET calls?method=`` · ``GET views`` · ``GET presses`` · ``GET state``; by POST with JSON:
    ``press {channel, ts?, action, user}`` (without ts: the newest message with that button) ·
    ``submit {view, reason?}`` · ``fault {method, fault, first?, count?, code?, seconds?}`` ·
    ``clear`` · ``user {id, name, …}`` · ``group {id, users}`` · ``channel {id, name, members}`` ·
    ``change {channel, archived?, members?}`` · ``delete {channel, ts}`` ·
    ``socket {do: disconnect|close|cut, reason?}`` · ``switch {…}`` ·
    ``token {token, revoked?, scopes?}`` · ``request_url {url}``.
    """

    def __init__(self, slack: Slack) -> None:
        self.slack = slack

    def routes(self) -> list[web.RouteDef]:
        gets = {"messages", "ephemerals", "calls", "views", "presses", "state"}
        posts = {"press", "submit", "fault", "clear", "user", "group", "channel", "change"}
        posts |= {"delete", "socket", "switch", "token", "request_url"}
        return [
            *(web.get(f"/_control/{name}", getattr(self, name)) for name in sorted(gets)),
            *(web.post(f"/_control/{name}", getattr(self, name)) for name in sorted(posts)),
        ]

    async def messages(self, request: web.Request) -> web.Response:
        channel = self._channel(request.query["channel"])
        found = [
            {
                **head,
                "buttons": presses.buttons(head),
                "thread": self.slack.world.thread(channel.id, head["ts"])[1:],
            }
            for head in self.slack.world.heads(channel.id)
        ]
        return web.json_response(found)

    async def ephemerals(self, request: web.Request) -> web.Response:
        return web.json_response(self._channel(request.query["channel"]).ephemerals)

    async def calls(self, request: web.Request) -> web.Response:
        method = request.query.get("method", "")
        return web.json_response(
            [
                {"method": c.method, "arguments": c.arguments, "answer": c.answer, "at": c.at}
                for c in self.slack.world.calls
                if method in {"", c.method}
            ]
        )

    async def views(self, _: web.Request) -> web.Response:
        return web.json_response([asdict(view) for view in self.slack.world.views.values()])

    async def presses(self, _: web.Request) -> web.Response:
        return web.json_response([asdict(one) for one in self.slack.presses])

    async def state(self, _: web.Request) -> web.Response:
        sockets = self.slack.sockets
        return web.json_response(
            {
                "sockets": len(sockets.live),
                "dials": sockets.dials,
                "violations": sockets.violations,
                "warnings": self.slack.world.warnings,
            }
        )

    async def press(self, request: web.Request) -> web.Response:
        said = await request.json()
        channel = self._channel(said["channel"])
        try:
            ts = said.get("ts") or self._newest(channel, said["action"])
            delivered = await self.slack.press(
                channel=channel.id,
                ts=ts,
                action=said["action"],
                user=said["user"],
                variety=Variety(**said.get("variety", {})),
            )
        except NothingToPressError as error:
            return web.json_response({"result": "nothing to press", "what": str(error)}, status=404)
        return web.json_response(asdict(delivered))

    def _newest(self, channel: Channel, action: str) -> str:
        for ts, message in reversed(channel.messages.items()):
            if action in presses.buttons(message):
                return ts
        raise NothingToPressError(action)

    async def submit(self, request: web.Request) -> web.Response:
        said = await request.json()
        delivered = await self.slack.submit(said["view"], reason=said.get("reason"))
        return web.json_response(asdict(delivered))

    async def fault(self, request: web.Request) -> web.Response:
        said: dict[str, Any] = await request.json()
        self.slack.faults.plan(said.pop("method"), said.pop("fault"), **said)
        return web.json_response({})

    async def clear(self, _: web.Request) -> web.Response:
        self.slack.faults.clear()
        return web.json_response({})

    async def user(self, request: web.Request) -> web.Response:
        self.slack.world.add(User(**await request.json()))
        return web.json_response({})

    async def group(self, request: web.Request) -> web.Response:
        said = await request.json()
        self.slack.world.groups[said["id"]] = said["users"]
        return web.json_response({})

    async def channel(self, request: web.Request) -> web.Response:
        said = await request.json()
        self.slack.world.open(Channel(**{**said, "members": set(said.get("members", ()))}))
        return web.json_response({})

    async def change(self, request: web.Request) -> web.Response:
        said = await request.json()
        channel = self._channel(said["channel"])
        channel.archived = said.get("archived", channel.archived)
        channel.members = set(said.get("members", channel.members))
        return web.json_response({})

    async def delete(self, request: web.Request) -> web.Response:
        said = await request.json()
        channel = self._channel(said["channel"])
        channel.messages.pop(said["ts"], None)
        return web.json_response({})

    async def socket(self, request: web.Request) -> web.Response:
        said = await request.json()
        links = list(self.slack.sockets.live)
        for link in links:
            if said["do"] == "cut":
                self.slack.sockets.cut(link)
            elif said["do"] == "close":
                await link.socket.close()
            else:
                await self.slack.sockets.disconnect(link, said.get("reason", "refresh_requested"))
        return web.json_response({"count": len(links)})

    async def switch(self, request: web.Request) -> web.Response:
        for name, value in (await request.json()).items():
            setattr(self.slack.sockets.switches, name, value)
        return web.json_response({})

    async def token(self, request: web.Request) -> web.Response:
        said = await request.json()
        token = self.slack.world.tokens[said["token"]]
        token.revoked = said.get("revoked", token.revoked)
        token.scopes = set(said.get("scopes", token.scopes))
        return web.json_response({})

    async def request_url(self, request: web.Request) -> web.Response:
        self.slack.world.request_url = json.loads(await request.read())["url"]
        return web.json_response({})

    def _channel(self, name: str) -> Channel:
        found = self.slack.world.channel(name)
        if found is None:
            raise web.HTTPNotFound(text=f"no channel {name}")
        return found


def add(slack: Slack, app: web.Application) -> None:
    """Put the routes into an application."""
    app.add_routes(Control(slack).routes())
