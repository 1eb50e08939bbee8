"""What there is in the stand-in: a workspace with people, channels, messages, and one app."""

from __future__ import annotations

import itertools
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

TEAM = "T0ACME"
ENTERPRISE = "E0ACME"
APP = "A0ROLLOUT"
BOT = "B0ROLLOUT"
BOT_USER = "UROLLOUT"
BOT_TOKEN = "xoxb-of-the-stand-in"
APP_TOKEN = "xapp-of-the-stand-in"
SIGNING_SECRET = "9d1c2b3a4e5f60718293a4b5c6d7e8f9"

BOT_SCOPES = frozenset(
    {"chat:write", "chat:write.public", "channels:read", "groups:read", "channels:history"}
    | {"groups:history", "users:read", "users:read.email", "usergroups:read", "files:write"}
)

TRIGGER_SECONDS = 3.0
RESPONSE_URL_SECONDS = 1800.0
RESPONSE_URL_USES = 5
TICKET_SECONDS = 30.0

Document = dict[str, Any]


@dataclass(slots=True)
class User:
    """Somebody."""

    id: str
    name: str
    email: str = ""
    team: str = TEAM
    enterprise: str = ""
    email_confirmed: bool = True
    deleted: bool = False
    bot: bool = False
    restricted: bool = False
    ultra_restricted: bool = False
    stranger: bool = False
    active: bool = True

    def document(self, *, with_email: bool) -> Document:
        profile: Document = {"real_name": self.name.title(), "display_name": self.name}
        if with_email and self.email:
            profile["email"] = self.email
        found: Document = {
            "id": self.id,
            "team_id": self.team,
            "name": self.name,
            "deleted": self.deleted,
            "is_bot": self.bot,
            "is_restricted": self.restricted,
            "is_ultra_restricted": self.ultra_restricted,
            "is_email_confirmed": self.email_confirmed,
            "profile": profile,
        }
        if self.stranger:
            found["is_stranger"] = True
        if self.enterprise:
            found["enterprise_user"] = {"id": self.id, "enterprise_id": self.enterprise}
        return found


@dataclass(slots=True)
class Channel:
    """A channel with what was said in it."""

    id: str
    name: str
    members: set[str] = field(default_factory=set)
    private: bool = False
    archived: bool = False
    shared: bool = False
    messages: dict[str, Document] = field(default_factory=dict)
    ephemerals: list[Document] = field(default_factory=list)
    last: float = 0.0

    def document(self) -> Document:
        return {
            "id": self.id,
            "name": self.name,
            "is_archived": self.archived,
            "is_private": self.private,
            "is_member": BOT_USER in self.members,
            "is_ext_shared": self.shared,
        }


@dataclass(slots=True)
class Token:
    """What a token may."""

    kind: str
    scopes: set[str]
    revoked: bool = False


@dataclass(slots=True)
class Trigger:
    """What opens a dialog."""

    user: str
    at: float
    used: bool = False


@dataclass(slots=True)
class ResponseUrl:
    """What takes answers to a press."""

    user: str
    channel: str
    ts: str
    at: float
    uses: int = 0


@dataclass(slots=True)
class View:
    """A dialog that is open."""

    id: str
    user: str
    document: Document
    open: bool = True
    errors: Document = field(default_factory=dict)

    @property
    def hash(self) -> str:
        return str(self.document["hash"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call as it came, and what was answered."""

    method: str
    verb: str
    headers: Mapping[str, str]
    body: bytes
    arguments: Mapping[str, Any]
    answer: Mapping[str, Any] | None
    at: float


@dataclass(slots=True)
class Upload:
    """A file on its way."""

    id: str
    length: int
    received: int = -1
    completed: bool = False


class World:
    """All of it; the clock tells seconds since 1970."""

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self.clock = clock
        self.users: dict[str, User] = {}
        self.groups: dict[str, list[str]] = {}
        self.channels: dict[str, Channel] = {}
        self.tokens: dict[str, Token] = {
            BOT_TOKEN: Token("bot", set(BOT_SCOPES)),
            APP_TOKEN: Token("app", {"connections:write"}),
        }
        self.enterprise = ""
        self.usergroups_on_plan = True
        self.signing_secret = SIGNING_SECRET
        self.request_url = ""
        self.calls: list[Call] = []
        self.warnings: list[str] = []
        self.triggers: dict[str, Trigger] = {}
        self.response_urls: dict[str, ResponseUrl] = {}
        self.views: dict[str, View] = {}
        self.uploads: dict[str, Upload] = {}
        self.tickets: dict[str, float] = {}
        self._count = itertools.count(1)
        self._people()

    def _people(self) -> None:
        self.add(User(BOT_USER, "rollout", bot=True))
        self.add(User("U0ALICE", "alice", "alice@example.com"))
        self.add(User("U0BOB", "bob", "bob@example.com"))
        self.add(User("W0CAROL", "carol", "carol@example.com", team="T0OTHER", enterprise="E0ACME"))
        self.add(User("U0GUEST", "guest", "guest@example.com", ultra_restricted=True))
        self.add(User("U0GONE", "gone", "gone@example.com", deleted=True))
        self.add(User("U0ROBOT", "robot", bot=True))
        self.add(User("U0OTHER", "other", "o@other.example", team="T0FOREIGN", stranger=True))
        self.groups["S0MANAGERS"] = ["U0ALICE"]
        everybody = set(self.users)
        self.open(Channel("C0DEPLOYS", "deploys", members=set(everybody)))
        self.open(Channel("C0PUBLIC", "public", members=everybody - {BOT_USER}))
        self.open(Channel("G0SECRET", "secret", members={"U0ALICE"}, private=True))
        self.open(Channel("C0OLD", "old", members=set(everybody), archived=True))

    def add(self, user: User) -> None:
        self.users[user.id] = user

    def open(self, channel: Channel) -> None:
        self.channels[channel.id] = channel

    def fresh(self, prefix: str) -> str:
        return f"{prefix}{next(self._count):04d}{secrets.token_hex(3).upper()}"

    def channel(self, name: str) -> Channel | None:
        """By id or by name, with or without its sign."""
        if name in self.channels:
            return self.channels[name]
        bare = name.removeprefix("#")
        return next((one for one in self.channels.values() if one.name == bare), None)

    def stamp(self, channel: Channel) -> str:
        """A new ts, later than all before it in the channel."""
        channel.last = max(self.clock(), channel.last + 0.0001)
        return f"{channel.last:.6f}"

    def say(self, channel: Channel, user: str, text: str, *, thread: str = "") -> str:
        """A person says something."""
        ts = self.stamp(channel)
        message: Document = {"type": "message", "user": user, "text": text, "ts": ts}
        if thread:
            message["thread_ts"] = thread
        channel.messages[ts] = message
        return ts

    def trigger(self, user: str) -> str:
        name = self.fresh("trigger.")
        self.triggers[name] = Trigger(user, self.clock())
        return name

    def response_url(self, user: str, channel: str, ts: str) -> str:
        """The path; the server puts its address in front."""
        name = secrets.token_hex(8)
        self.response_urls[name] = ResponseUrl(user, channel, ts, self.clock())
        return f"/actions/{TEAM}/{name}"

    def ticket(self) -> str:
        name = secrets.token_hex(16)
        self.tickets[name] = self.clock()
        return name

    def take(self, ticket: str) -> bool:
        """Whether a ticket still opens a socket; it does so once."""
        issued = self.tickets.pop(ticket, None)
        return issued is not None and self.clock() - issued <= TICKET_SECONDS

    def called(self, method: str) -> list[Call]:
        return [call for call in self.calls if call.method == method]

    def thread(self, channel: str, head: str) -> list[Document]:
        """A head and what stands below it."""
        messages = self.channels[channel].messages
        below = [m for ts, m in messages.items() if m.get("thread_ts") == head and ts != head]
        return ([messages[head]] if head in messages else []) + below

    def heads(self, channel: str) -> list[Document]:
        """What stands in a channel itself."""
        return [
            m
            for ts, m in self.channels[channel].messages.items()
            if m.get("thread_ts", ts) == ts and m.get("subtype") != "tombstone"
        ]
