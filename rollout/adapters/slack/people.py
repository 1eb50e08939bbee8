"""Who somebody is: asked of Slack, and remembered for a minute."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from rollout.api.chat import Member, Standing, text_of
from rollout.base.errors import ChatRefused
from rollout.ports import Clock

if TYPE_CHECKING:
    from slack_sdk.web.async_client import AsyncWebClient

REMEMBERED_SECONDS = 60.0
"""How long somebody who has been taken off a list may still press."""

REMEMBERED_COUNT_MAX = 1000
"""Members and groups that are remembered; beyond, all are asked for anew."""

SLACKBOT = "USLACKBOT"


T = TypeVar("T")


class Ask(Protocol):
    """One call, with errors of ours."""

    async def __call__(self, what: str, ask: Callable[[], Awaitable[T]], *, harmless: bool) -> T:
        """The answer."""
        ...


class People:
    """Members and groups, by id."""

    def __init__(self, ask: Ask, client: AsyncWebClient, *, clock: Clock) -> None:
        self._ask = ask
        self._client = client
        self._clock = clock
        self._known: dict[str, tuple[float, Any]] = {}

    async def who(
        self, member: str, *, groups: Collection[str], team: str, enterprise: str
    ) -> Member:
        """A member, with those of the groups that they are in."""
        user = await self._remembered(f"user {member}", partial(self._user, member))
        inside = set()
        for group in groups:
            if member in await self._remembered(f"group {group}", partial(self._group, group)):
                inside.add(group)
        standing = _standing(user, team=team, enterprise=enterprise)
        return Member(
            id=member,
            name=text_of(user, "profile", "display_name") or text_of(user, "name"),
            email=_email(user) if standing is Standing.MEMBER else "",
            standing=standing,
            groups=frozenset(inside),
        )

    async def _remembered(self, name: str, ask: Callable[[], Awaitable[T]]) -> T:
        now_seconds = self._clock.monotonic_seconds()
        at_seconds, found = self._known.get(name, (-math.inf, None))
        if now_seconds - at_seconds < REMEMBERED_SECONDS:
            known: T = found
            return known
        fresh = await ask()
        if len(self._known) >= REMEMBERED_COUNT_MAX:
            self._known.clear()
        self._known[name] = (now_seconds, fresh)
        return fresh

    async def _user(self, member: str) -> Mapping[str, Any]:
        answer = await self._ask(
            f"users.info of {member}", lambda: self._client.users_info(user=member), harmless=True
        )
        return answer.get("user") or {}

    async def _group(self, group: str) -> frozenset[str]:
        try:
            answer = await self._ask(
                f"usergroups.users.list of {group}",
                lambda: self._client.usergroups_users_list(usergroup=group),
                harmless=True,
            )
        except ChatRefused as refused:
            if refused.code == "no_such_subteam":
                return frozenset()  # nobody is in a group that is not there
            raise
        return frozenset(answer.get("users") or ())


def _standing(user: Mapping[str, Any], *, team: str, enterprise: str) -> Standing:
    """What somebody is to our workspace; who says nothing of themselves is a stranger."""
    organisation = text_of(user, "enterprise_user", "enterprise_id")
    ours = text_of(user, "team_id") == team or (organisation and organisation == enterprise)
    if user.get("deleted"):
        return Standing.DELETED
    if user.get("is_bot") or user.get("id") == SLACKBOT:
        return Standing.BOT
    if user.get("is_stranger") or not ours:
        return Standing.STRANGER
    if user.get("is_restricted") or user.get("is_ultra_restricted"):
        return Standing.GUEST
    return Standing.MEMBER


def _email(user: Mapping[str, Any]) -> str:
    """One that nobody has confirmed says nothing of who somebody is."""
    if user.get("is_email_confirmed") is False:
        return ""
    return text_of(user, "profile", "email").strip()
