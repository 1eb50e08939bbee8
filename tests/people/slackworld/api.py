"""The methods of the Web API, as far as a release controller needs them."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from typing import Any

from tests.people.slackworld import limits
from tests.people.slackworld.world import (
    APP,
    BOT,
    BOT_USER,
    ENTERPRISE,
    TEAM,
    TRIGGER_SECONDS,
    Channel,
    Document,
    Upload,
    View,
    World,
)

Arguments = Mapping[str, Any]

PAGE_SHORT_BY = 1
"""Pages come shorter than asked for, as Slack's may: a short page is not the last one."""

TEXT_UPDATE_MAX = 4000
TEXT_MAX = 40_000


class RefusedError(Exception):
    """``ok: false`` with a code and what belongs to it."""

    def __init__(self, *, code: str, **more: Any) -> None:
        super().__init__(code)
        self.answer: Document = {"ok": False, "error": code, **more}


class Api:
    """Answers calls; transport and faults are the server's."""

    def __init__(self, world: World, *, address: Callable[[], str]) -> None:
        self.world = world
        self.address = address
        self.methods: Mapping[str, tuple[str, str, Callable[[Arguments], Document]]] = {
            "auth.test": ("bot", "", self._auth_test),
            "apps.connections.open": ("app", "connections:write", self._connections_open),
            "chat.postMessage": ("bot", "chat:write", self._post),
            "chat.update": ("bot", "chat:write", self._update),
            "chat.delete": ("bot", "chat:write", self._delete),
            "chat.postEphemeral": ("bot", "chat:write", self._ephemeral),
            "chat.getPermalink": ("bot", "", self._permalink),
            "conversations.info": ("bot", "channels:read", self._info),
            "conversations.list": ("bot", "channels:read", self._list),
            "conversations.history": ("bot", "channels:history", self._history),
            "conversations.replies": ("bot", "channels:history", self._replies),
            "users.info": ("bot", "users:read", self._user),
            "users.lookupByEmail": ("bot", "users:read.email", self._by_email),
            "usergroups.users.list": ("bot", "usergroups:read", self._group),
            "views.open": ("bot", "", self._open),
            "views.update": ("bot", "", self._view_update),
            "files.getUploadURLExternal": ("bot", "files:write", self._upload_url),
            "files.completeUploadExternal": ("bot", "files:write", self._upload_complete),
        }

    def call(self, method: str, token: str, arguments: Arguments) -> Document:
        """The answer; HTTP status 200 for all of them."""
        known = self.methods.get(method)
        if known is None:
            return RefusedError(code="unknown_method", req_method=method).answer
        kind, scope, do = known
        try:
            self._allowed(token, kind, scope)
            return {"ok": True, **do(arguments)}
        except RefusedError as refused:
            return refused.answer

    def _allowed(self, token: str, kind: str, scope: str) -> None:
        if not token:
            raise RefusedError(code="not_authed")
        known = self.world.tokens.get(token)
        if known is None:
            raise RefusedError(code="invalid_auth")
        if known.revoked:
            raise RefusedError(code="token_revoked")
        if known.kind != kind:
            raise RefusedError(code="not_allowed_token_type")
        if scope and scope not in known.scopes:
            provided = ",".join(sorted(known.scopes))
            raise RefusedError(code="missing_scope", needed=scope, provided=provided)

    def _scoped(self, scope: str) -> bool:
        return any(t.kind == "bot" and scope in t.scopes for t in self.world.tokens.values())

    # Who we are.

    def _auth_test(self, _: Arguments) -> Document:
        found: Document = {
            "url": "https://acme.slack.example/",
            "team": "Acme",
            "user": "rollout",
            "team_id": TEAM,
            "user_id": BOT_USER,
            "bot_id": BOT,
            "is_enterprise_install": False,
        }
        return {**found, "enterprise_id": ENTERPRISE} if self.world.enterprise else found

    def _connections_open(self, _: Arguments) -> Document:
        address = self.address().replace("http", "ws", 1)
        return {"url": f"{address}/link/?ticket={self.world.ticket()}&app_id={APP}"}

    # Messages.

    def _channel(
        self, arguments: Arguments, *, writing: bool = True, named: bool = False
    ) -> Channel:
        """By id; where something is posted by name too, and nowhere else."""
        name = str(arguments.get("channel", ""))
        channel = self.world.channel(name) if named else self.world.channels.get(name)
        if channel is None or (channel.private and BOT_USER not in channel.members):
            raise RefusedError(code="channel_not_found")
        if writing and channel.archived:
            raise RefusedError(code="is_archived")
        return channel

    def _post(self, arguments: Arguments) -> Document:
        channel = self._channel(arguments, named=True)
        if BOT_USER not in channel.members and not self._scoped("chat:write.public"):
            raise RefusedError(code="not_in_channel")
        message = self._message(arguments)
        thread = arguments.get("thread_ts")
        if thread:
            parent = channel.messages.get(str(thread))
            if parent is None or parent.get("thread_ts", thread) != thread:
                raise RefusedError(code="assumed_thread_not_found")
            message["thread_ts"] = thread
            parent["thread_ts"] = thread
            if arguments.get("reply_broadcast"):
                message["subtype"] = "thread_broadcast"
        elif arguments.get("reply_broadcast"):
            raise RefusedError(code="cannot_reply_to_message")
        ts = self.world.stamp(channel)
        message["ts"] = ts
        channel.messages[ts] = message
        return {"channel": channel.id, "ts": ts, "message": copy.deepcopy(message)}

    def _message(self, arguments: Arguments) -> Document:
        text, blocks = arguments.get("text"), arguments.get("blocks")
        if not text and not blocks and not arguments.get("attachments"):
            raise RefusedError(code="no_text")
        message: Document = {
            "type": "message",
            "user": BOT_USER,
            "bot_id": BOT,
            "app_id": APP,
            "text": str(text or "")[:TEXT_MAX],
        }
        if blocks:
            message["blocks"] = self._blocks(blocks)
        if arguments.get("metadata"):
            message["metadata"] = self._metadata(arguments["metadata"])
        return message

    def _blocks(self, blocks: Any) -> list[Document]:
        wrong, odd = limits.of_message(blocks)
        if wrong:
            raise RefusedError(
                code="invalid_blocks",
                errors=wrong,
                response_metadata={"messages": [f"[ERROR] {one}" for one in wrong]},
            )
        if limits.total_length(blocks) > limits.TOTAL_LENGTH_MAX:
            raise RefusedError(code="msg_blocks_too_long")
        self.world.warnings += odd
        for block in _walk(blocks):
            if block.get("type") == "image" and "slack_file" in block:
                upload = self.world.uploads.get(block["slack_file"].get("id", ""))
                if upload is None or not upload.completed:
                    raise RefusedError(code="invalid_blocks", errors=["invalid slack file"])
        return [{"block_id": self.world.fresh("blk"), **one} for one in copy.deepcopy(blocks)]

    def _metadata(self, metadata: Any) -> Document:
        if not isinstance(metadata, dict) or not isinstance(metadata.get("event_payload"), dict):
            raise RefusedError(code="invalid_metadata_format")
        if not metadata.get("event_type"):
            raise RefusedError(code="invalid_metadata_format")
        if len(json.dumps(metadata)) > limits.METADATA_BYTES_MAX:
            raise RefusedError(code="metadata_too_large")
        return copy.deepcopy(metadata)

    def _own(self, arguments: Arguments, channel: Channel, refusal: str) -> Document:
        message = channel.messages.get(str(arguments.get("ts", "")))
        if message is None or message.get("subtype") == "tombstone":
            raise RefusedError(code="message_not_found")
        if message.get("bot_id") != BOT:
            raise RefusedError(code=refusal)
        return message

    def _update(self, arguments: Arguments) -> Document:
        channel = self._channel(arguments, writing=False)
        if channel.archived:
            raise RefusedError(code="is_inactive")
        message = self._own(arguments, channel, "cant_update_message")
        text, blocks = arguments.get("text"), arguments.get("blocks")
        if text is None and blocks is None:
            raise RefusedError(code="no_text")
        if len(str(text or "")) > TEXT_UPDATE_MAX:
            raise RefusedError(code="msg_too_long")
        # What is left out survives only in the one direction: text alone takes the blocks away.
        if blocks:
            message["blocks"] = self._blocks(blocks)
        elif text is not None:
            message.pop("blocks", None)
        if text is not None:
            message["text"] = str(text)
        if "metadata" in arguments:
            self._replace_metadata(message, arguments["metadata"])
        message["edited"] = {"user": BOT_USER, "ts": f"{self.world.clock():.6f}"}
        return {"channel": channel.id, "ts": message["ts"], "text": message["text"]}

    def _replace_metadata(self, message: Document, metadata: Any) -> None:
        message.pop("metadata", None)
        if metadata:
            message["metadata"] = self._metadata(metadata)

    def _delete(self, arguments: Arguments) -> Document:
        channel = self._channel(arguments, writing=False)
        message = self._own(arguments, channel, "cant_delete_message")
        remove(channel, message["ts"])
        return {"channel": channel.id, "ts": message["ts"]}

    def _ephemeral(self, arguments: Arguments) -> Document:
        channel = self._channel(arguments, named=True)
        if BOT_USER not in channel.members:
            raise RefusedError(code="not_in_channel")
        user = self.world.users.get(str(arguments.get("user", "")))
        if user is None or user.id not in channel.members:
            raise RefusedError(code="user_not_in_channel")
        message = {**self._message(arguments), "ts": self.world.stamp(channel), "to": user.id}
        if arguments.get("thread_ts"):
            message["thread_ts"] = arguments["thread_ts"]
        if user.active:
            channel.ephemerals.append(message)
        return {"message_ts": message["ts"]}

    def _permalink(self, arguments: Arguments) -> Document:
        channel = self._channel({"channel": arguments.get("channel")}, writing=False)
        ts = str(arguments.get("message_ts", ""))
        if ts not in channel.messages:
            raise RefusedError(code="message_not_found")
        link = f"https://acme.slack.example/archives/{channel.id}/p{ts.replace('.', '')}"
        return {"channel": channel.id, "permalink": link}

    # Reading.

    def _info(self, arguments: Arguments) -> Document:
        return {"channel": self._channel(arguments, writing=False).document()}

    def _list(self, arguments: Arguments) -> Document:
        known = [
            channel.document()
            for channel in self.world.channels.values()
            if not channel.private or BOT_USER in channel.members
        ]
        page = self._page(known, arguments)
        return {**page, "channels": page.pop("messages")}

    def _readable(self, arguments: Arguments) -> Channel:
        channel = self._channel(arguments, writing=False)
        if BOT_USER not in channel.members:
            raise RefusedError(code="not_in_channel")
        if channel.private and not self._scoped("groups:history"):
            raise RefusedError(code="missing_scope", needed="groups:history", provided="")
        return channel

    def _history(self, arguments: Arguments) -> Document:
        channel = self._readable(arguments)
        oldest = float(arguments.get("oldest", 0))
        found = [
            message
            for ts, message in channel.messages.items()
            if float(ts) > oldest
            and (message.get("thread_ts", ts) == ts or "broadcast" in message.get("subtype", ""))
        ]
        return self._page(list(reversed(found)), arguments)

    def _replies(self, arguments: Arguments) -> Document:
        channel = self._readable(arguments)
        head = str(arguments.get("ts", ""))
        if head not in channel.messages:
            raise RefusedError(code="thread_not_found")
        return self._page(self.world.thread(channel.id, head), arguments)

    def _page(self, messages: list[Document], arguments: Arguments) -> Document:
        limit = min(int(arguments.get("limit", 100)), 999)
        try:
            begin = int(str(arguments.get("cursor") or "page:0").removeprefix("page:"))
        except ValueError:
            raise RefusedError(code="invalid_cursor") from None
        end = begin + max(1, limit - PAGE_SHORT_BY)
        full = str(arguments.get("include_all_metadata", "")).lower() in {"1", "true"}
        shown = [_shown(message, full=full) for message in messages[begin:end]]
        more = end < len(messages)
        cursor = f"page:{end}" if more else ""
        return {
            "messages": shown,
            "has_more": more,
            "response_metadata": {"next_cursor": cursor},
        }

    # People.

    def _user(self, arguments: Arguments) -> Document:
        user = self.world.users.get(str(arguments.get("user", "")))
        if user is None:
            raise RefusedError(code="user_not_found")
        return {"user": user.document(with_email=self._scoped("users:read.email"))}

    def _by_email(self, arguments: Arguments) -> Document:
        email = str(arguments.get("email", ""))
        for user in self.world.users.values():
            if email and user.email == email and not user.deleted:
                return {"user": user.document(with_email=True)}
        raise RefusedError(code="users_not_found")

    def _group(self, arguments: Arguments) -> Document:
        if not self.world.usergroups_on_plan:
            raise RefusedError(code="plan_upgrade_required")
        users = self.world.groups.get(str(arguments.get("usergroup", "")))
        if users is None:
            raise RefusedError(code="no_such_subteam")
        return {"users": list(users)}

    # Dialogs.

    def _view(self, arguments: Arguments) -> Document:
        view = arguments.get("view")
        if not isinstance(view, dict):
            raise RefusedError(code="invalid_arguments")
        wrong, odd = limits.of_view(view)
        if wrong:
            raise RefusedError(
                code="invalid_arguments",
                response_metadata={"messages": [f"[ERROR] {one}" for one in wrong]},
            )
        if len(json.dumps(view)) > limits.VIEW_BYTES_MAX:
            raise RefusedError(code="view_too_large")
        self.world.warnings += odd
        return copy.deepcopy(view)

    def _open(self, arguments: Arguments) -> Document:
        trigger = self.world.triggers.get(str(arguments.get("trigger_id", "")))
        if trigger is None:
            raise RefusedError(code="invalid_trigger_id")
        if trigger.used:
            raise RefusedError(code="exchanged_trigger_id")
        if self.world.clock() - trigger.at > TRIGGER_SECONDS:
            raise RefusedError(code="expired_trigger_id")
        trigger.used = True
        document = self._view(arguments)
        view = View(self.world.fresh("V"), trigger.user, document)
        document.update(id=view.id, hash=self.world.fresh("hash"), app_installed_team_id=TEAM)
        self.world.views[view.id] = view
        return {"view": copy.deepcopy(document)}

    def _view_update(self, arguments: Arguments) -> Document:
        view = self.world.views.get(str(arguments.get("view_id", "")))
        if view is None or not view.open:
            raise RefusedError(code="not_found")
        if arguments.get("hash") and arguments["hash"] != view.hash:
            raise RefusedError(code="hash_conflict")
        view.document = {
            **self._view(arguments),
            "id": view.id,
            "hash": self.world.fresh("hash"),
            "app_installed_team_id": TEAM,
        }
        return {"view": copy.deepcopy(view.document)}

    # Files.

    def _upload_url(self, arguments: Arguments) -> Document:
        length = int(arguments.get("length") or 0)
        if not length or not arguments.get("filename"):
            raise RefusedError(code="missing_argument")
        upload = Upload(self.world.fresh("F"), length)
        self.world.uploads[upload.id] = upload
        return {"upload_url": f"{self.address()}/upload/{upload.id}", "file_id": upload.id}

    def _upload_complete(self, arguments: Arguments) -> Document:
        if arguments.get("channel_id"):
            channel = self._channel({"channel": arguments["channel_id"]})
            if BOT_USER not in channel.members:
                raise RefusedError(code="not_in_channel")
        files = arguments.get("files") or []
        for one in files:
            upload = self.world.uploads.get(one.get("id", ""))
            if upload is None or upload.received != upload.length:
                raise RefusedError(code="file_not_found")
            upload.completed = True
        return {"files": [{"id": one["id"], "title": one.get("title", "")} for one in files]}


def remove(channel: Channel, ts: str) -> None:
    """Take a message away; one that was answered leaves a tombstone."""
    message = channel.messages[ts]
    answered = any(m.get("thread_ts") == ts and t != ts for t, m in channel.messages.items())
    if not answered:
        del channel.messages[ts]
        return
    kept = {key: message[key] for key in ("type", "ts", "thread_ts")}
    channel.messages[ts] = {**kept, "subtype": "tombstone", "text": "This message was deleted."}


def _shown(message: Document, *, full: bool) -> Document:
    """As a reader gets it: the payload of metadata only on request."""
    shown = copy.deepcopy(message)
    if "metadata" in shown and not full:
        shown["metadata"] = {"event_type": shown["metadata"]["event_type"]}
    return shown


def _walk(blocks: Any) -> list[Document]:
    return [block for block in blocks if isinstance(block, dict)]
