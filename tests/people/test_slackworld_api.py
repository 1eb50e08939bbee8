"""The stand-in answers calls as Slack's documentation says; asked by Slack's own library."""

from __future__ import annotations

import warnings
from typing import Any

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError

from tests.people.slackclients import button, buttons, client_of, refusal, section
from tests.people.slackworld import APP_TOKEN, BOT_TOKEN, Fault, serving

DEPLOYS = "C0DEPLOYS"


async def test_a_post_by_name_gives_the_channels_id_and_a_stamp() -> None:
    async with serving() as slack, client_of(slack) as client:
        done = await client.chat_postMessage(channel="#deploys", text="hello")
        again = await client.chat_postMessage(channel=DEPLOYS, text="hello")

        assert done["channel"] == DEPLOYS
        assert slack.world.channels[DEPLOYS].messages[done["ts"]]["text"] == "hello"
        assert again["ts"] > done["ts"]


async def test_every_call_is_kept_with_its_headers_and_body() -> None:
    async with serving() as slack, client_of(slack) as client:
        await client.chat_postMessage(channel=DEPLOYS, text="hello")
        await client.users_info(user="U0ALICE")

        post, get = slack.world.calls
        assert (post.method, post.verb, get.verb) == ("chat.postMessage", "POST", "GET")
        assert post.headers["Authorization"] == f"Bearer {BOT_TOKEN}"
        assert b'"text": "hello"' in post.body or b'"text":"hello"' in post.body
        assert get.arguments["user"] == "U0ALICE"


@pytest.mark.parametrize(
    ("token", "code"),
    [("", "not_authed"), ("xoxb-other", "invalid_auth"), (APP_TOKEN, "not_allowed_token_type")],
)
async def test_a_token_that_is_not_the_bots_is_refused(token: str, code: str) -> None:
    async with serving() as slack, client_of(slack, token=token) as client:
        assert (await refusal(client.auth_test()))["error"] == code


async def test_a_scope_that_is_missing_is_named() -> None:
    async with serving() as slack, client_of(slack) as client:
        slack.world.tokens[BOT_TOKEN].scopes = {"users:read"}

        answer = await refusal(client.chat_postMessage(channel=DEPLOYS, text="hello"))

    assert answer["needed"] == "chat:write"
    assert answer["provided"] == "users:read"


async def test_a_token_that_is_revoked_meanwhile_says_so() -> None:
    async with serving() as slack, client_of(slack) as client:
        await client.auth_test()
        slack.world.tokens[BOT_TOKEN].revoked = True

        assert (await refusal(client.auth_test()))["error"] == "token_revoked"


@pytest.mark.parametrize(
    ("channel", "code"),
    [
        ("#nowhere", "channel_not_found"),
        ("G0SECRET", "channel_not_found"),
        ("#old", "is_archived"),
        (DEPLOYS, "no_text"),
    ],
)
async def test_a_post_that_cannot_be_is_refused(channel: str, code: str) -> None:
    async with serving() as slack, client_of(slack) as client:
        call = client.chat_postMessage(channel=channel, text="" if code == "no_text" else "hello")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert (await refusal(call))["error"] == code


async def test_without_the_scope_for_public_channels_one_must_be_a_member() -> None:
    async with serving() as slack, client_of(slack) as client:
        await client.chat_postMessage(channel="#public", text="hello")
        slack.world.tokens[BOT_TOKEN].scopes.remove("chat:write.public")

        answer = await refusal(client.chat_postMessage(channel="#public", text="hello"))

    assert answer["error"] == "not_in_channel"


async def test_blocks_come_back_with_ids_that_were_made_up() -> None:
    async with serving() as slack, client_of(slack) as client:
        done = await client.chat_postMessage(channel=DEPLOYS, text="a", blocks=[section("a &amp;")])

    assert done["message"]["blocks"][0]["block_id"]
    assert done["message"]["blocks"][0]["text"]["text"] == "a &amp;"


async def test_half_an_entity_and_a_bare_bracket_are_noted() -> None:
    async with serving() as slack, client_of(slack) as client:
        await client.chat_postMessage(
            channel=DEPLOYS, text="a", blocks=[section("a &am"), section("b < c")]
        )

        assert len(slack.world.warnings) == 2


BAD_BLOCKS: dict[str, tuple[list[dict[str, Any]], str]] = {
    "section": ([section("x" * 3001)], "must be less than 3001 characters"),
    "header": (
        [{"type": "header", "text": {"type": "plain_text", "text": "x" * 151}}],
        "/blocks/0/text/text",
    ),
    "header of mrkdwn": (
        [{"type": "header", "text": {"type": "mrkdwn", "text": "x"}}],
        "must be plain_text",
    ),
    "field": (
        [{"type": "section", "fields": [{"type": "mrkdwn", "text": "x" * 2001}]}],
        "must be less than 2001 characters [json-pointer:/blocks/0/fields/0/text]",
    ),
    "fields": (
        [{"type": "section", "fields": [{"type": "mrkdwn", "text": "x"}] * 11}],
        "no more than 10 items",
    ),
    "button text": (
        [{"type": "actions", "elements": [button("x" * 76)]}],
        "must be less than 76 characters",
    ),
    "button value": (
        [{"type": "actions", "elements": [button("x", value="y" * 2001)]}],
        "must be less than 2001 characters",
    ),
    "same action": ([buttons("a", "a")], "action_id already exists"),
    "same block": (
        [{**section("a"), "block_id": "b"}, {**section("a"), "block_id": "b"}],
        "block_id already exists",
    ),
    "too many": ([section("a")] * 51, "no more than 50 items"),
    "empty": ([section("")], "must be more than 0 characters"),
    "style": ([{"type": "actions", "elements": [button("a", style="red")]}], "primary or danger"),
    "confirm": (
        [{"type": "actions", "elements": [button("a", confirm={"title": "?"})]}],
        "/confirm/title",
    ),
    "unknown": ([{"type": "marquee"}], "unsupported type"),
}


@pytest.mark.parametrize("name", BAD_BLOCKS)
async def test_blocks_beyond_a_limit_are_refused_with_a_pointer(name: str) -> None:
    blocks, words = BAD_BLOCKS[name]
    async with serving() as slack, client_of(slack) as client:
        answer = await refusal(client.chat_postMessage(channel=DEPLOYS, text="a", blocks=blocks))

    assert answer["error"] == "invalid_blocks"
    assert words in " ".join(answer["errors"])
    assert answer["response_metadata"]["messages"][0].startswith("[ERROR] ")


async def test_all_blocks_together_may_be_too_long() -> None:
    async with serving() as slack, client_of(slack) as client:
        call = client.chat_postMessage(channel=DEPLOYS, text="a", blocks=[section("x" * 2900)] * 5)

        assert (await refusal(call))["error"] == "msg_blocks_too_long"


async def test_an_update_with_text_alone_takes_the_blocks_away_and_keeps_the_metadata() -> None:
    async with serving() as slack, client_of(slack) as client:
        metadata = {"event_type": "a", "event_payload": {"b": "c"}}
        done = await client.chat_postMessage(
            channel=DEPLOYS, text="a", blocks=[section("a")], metadata=metadata
        )
        await client.chat_update(channel=DEPLOYS, ts=done["ts"], text="b")

        kept = slack.world.channels[DEPLOYS].messages[done["ts"]]
        assert kept["text"] == "b"
        assert "blocks" not in kept
        assert kept["metadata"] == metadata


async def test_only_own_messages_that_are_there_can_be_updated() -> None:
    async with serving() as slack, client_of(slack) as client:
        channel = slack.world.channels[DEPLOYS]
        theirs = slack.world.say(channel, "U0ALICE", "mine")
        done = await client.chat_postMessage(channel=DEPLOYS, text="a")
        await client.chat_delete(channel=DEPLOYS, ts=done["ts"])

        foreign = await refusal(client.chat_update(channel=DEPLOYS, ts=theirs, text="b"))
        gone = await refusal(client.chat_update(channel=DEPLOYS, ts=done["ts"], text="b"))

    assert foreign["error"] == "cant_update_message"
    assert gone["error"] == "message_not_found"


async def test_an_update_takes_less_text_than_a_post() -> None:
    async with serving() as slack, client_of(slack) as client:
        done = await client.chat_postMessage(channel=DEPLOYS, text="a" * 5000)
        call = client.chat_update(channel=DEPLOYS, ts=done["ts"], text="b" * 4001)

        assert (await refusal(call))["error"] == "msg_too_long"


async def test_replies_stand_below_their_head_and_history_shows_heads_only() -> None:
    async with serving() as slack, client_of(slack) as client:
        head = (await client.chat_postMessage(channel=DEPLOYS, text="head"))["ts"]
        await client.chat_postMessage(channel=DEPLOYS, text="reply", thread_ts=head)
        other = await client.chat_postMessage(channel=DEPLOYS, text="other")

        history = await client.conversations_history(channel=DEPLOYS)
        replies = await client.conversations_replies(channel=DEPLOYS, ts=head)

    assert [m["text"] for m in history["messages"]] == ["other", "head"]
    assert [m["text"] for m in replies["messages"]] == ["head", "reply"]
    assert other["ts"] > head


async def test_a_reply_to_what_is_no_head_is_refused() -> None:
    async with serving() as slack, client_of(slack) as client:
        head = (await client.chat_postMessage(channel=DEPLOYS, text="head"))["ts"]
        reply = await client.chat_postMessage(channel=DEPLOYS, text="reply", thread_ts=head)
        call = client.chat_postMessage(channel=DEPLOYS, text="x", thread_ts=reply["ts"])

        assert not (await refusal(call))["ok"]


async def test_a_head_that_was_answered_leaves_a_tombstone() -> None:
    async with serving() as slack, client_of(slack) as client:
        head = (await client.chat_postMessage(channel=DEPLOYS, text="head"))["ts"]
        await client.chat_postMessage(channel=DEPLOYS, text="reply", thread_ts=head)
        await client.chat_delete(channel=DEPLOYS, ts=head)

        assert slack.world.channels[DEPLOYS].messages[head]["subtype"] == "tombstone"
        assert slack.world.heads(DEPLOYS) == []


async def test_the_payload_of_metadata_is_shown_on_request_only() -> None:
    async with serving() as slack, client_of(slack) as client:
        metadata = {"event_type": "a", "event_payload": {"b": "c"}}
        await client.chat_postMessage(channel=DEPLOYS, text="a", metadata=metadata)

        short = await client.conversations_history(channel=DEPLOYS)
        full = await client.conversations_history(channel=DEPLOYS, include_all_metadata=True)

    assert short["messages"][0]["metadata"] == {"event_type": "a"}
    assert full["messages"][0]["metadata"] == metadata


async def test_history_comes_in_pages_that_are_shorter_than_asked_for() -> None:
    async with serving() as slack, client_of(slack) as client:
        for number in range(7):
            await client.chat_postMessage(channel=DEPLOYS, text=str(number))

        pages = [
            [m["text"] for m in page["messages"]]
            async for page in await client.conversations_history(channel=DEPLOYS, limit=4)
        ]

    assert pages == [["6", "5", "4"], ["3", "2", "1"], ["0"]]


async def test_only_posting_takes_the_name_of_a_channel() -> None:
    async with serving() as slack, client_of(slack) as client:
        done = await client.chat_postMessage(channel="deploys", text="a")
        for call in (
            client.conversations_history(channel="deploys"),
            client.conversations_info(channel="#deploys"),
            client.chat_update(channel="#deploys", ts=done["ts"], text="b"),
        ):
            assert (await refusal(call))["error"] == "channel_not_found"
        listed = await client.conversations_list(types="public_channel,private_channel")

    assert {one["name"]: one["id"] for one in listed["channels"]}["deploys"] == DEPLOYS


async def test_history_is_for_members_with_the_scope() -> None:
    async with serving() as slack, client_of(slack) as client:
        outside = await refusal(client.conversations_history(channel="C0PUBLIC"))
        slack.world.tokens[BOT_TOKEN].scopes.remove("channels:history")
        unscoped = await refusal(client.conversations_history(channel=DEPLOYS))

    assert (outside["error"], unscoped["error"]) == ("not_in_channel", "missing_scope")


async def test_what_only_one_person_sees_is_in_no_history() -> None:
    async with serving() as slack, client_of(slack) as client:
        await client.chat_postEphemeral(channel=DEPLOYS, user="U0ALICE", text="psst")
        answer = await refusal(
            client.chat_postEphemeral(channel="#public", user="U0ALICE", text="psst")
        )

        assert slack.world.channels[DEPLOYS].ephemerals[0]["to"] == "U0ALICE"
        assert slack.world.channels[DEPLOYS].messages == {}
        assert answer["error"] == "not_in_channel"


async def test_the_email_is_told_with_its_scope_only() -> None:
    async with serving() as slack, client_of(slack) as client:
        told = await client.users_info(user="U0ALICE")
        found = await client.users_lookupByEmail(email="bob@example.com")
        slack.world.tokens[BOT_TOKEN].scopes.remove("users:read.email")
        silent = await client.users_info(user="U0ALICE")

    assert told["user"]["profile"]["email"] == "alice@example.com"
    assert found["user"]["id"] == "U0BOB"
    assert "email" not in silent["user"]["profile"]


async def test_a_group_has_its_users_and_a_free_plan_has_no_groups() -> None:
    async with serving() as slack, client_of(slack) as client:
        users = (await client.usergroups_users_list(usergroup="S0MANAGERS"))["users"]
        slack.world.usergroups_on_plan = False
        answer = await refusal(client.usergroups_users_list(usergroup="S0MANAGERS"))

    assert users == ["U0ALICE"]
    assert answer["error"] == "plan_upgrade_required"


async def test_a_dialog_is_opened_once_within_three_seconds() -> None:
    now = [1_000.0]
    view = {
        "type": "modal",
        "title": {"type": "plain_text", "text": "Why?"},
        "blocks": [section("a")],
    }
    async with serving(clock=lambda: now[0]) as slack, client_of(slack) as client:
        trigger = slack.world.trigger("U0ALICE")
        opened = await client.views_open(trigger_id=trigger, view=view)
        twice = await refusal(client.views_open(trigger_id=trigger, view=view))
        late = slack.world.trigger("U0ALICE")
        now[0] += 3.1
        expired = await refusal(client.views_open(trigger_id=late, view=view))
        stale = await refusal(
            client.views_update(view_id=opened["view"]["id"], hash="other", view=view)
        )

    assert twice["error"] == "exchanged_trigger_id"
    assert expired["error"] == "expired_trigger_id"
    assert stale["error"] == "hash_conflict"


async def test_a_title_of_a_dialog_that_is_too_long_is_refused() -> None:
    view = {"type": "modal", "title": {"type": "plain_text", "text": "x" * 25}, "blocks": []}
    async with serving() as slack, client_of(slack) as client:
        call = client.views_open(trigger_id=slack.world.trigger("U0ALICE"), view=view)

        assert "/view/title" in str(await refusal(call))


async def test_a_file_goes_up_in_three_steps_and_can_then_be_shown() -> None:
    image = {"type": "image", "alt_text": "a", "slack_file": {"id": "F0"}}
    async with serving() as slack, client_of(slack) as client:
        early = await refusal(client.chat_postMessage(channel=DEPLOYS, text="a", blocks=[image]))
        done = await client.files_upload_v2(content=b"12345", filename="a.png", channel=DEPLOYS)
        shown = {**image, "slack_file": {"id": done["files"][0]["id"]}}
        await client.chat_postMessage(channel=DEPLOYS, text="a", blocks=[shown])

    assert early["error"] == "invalid_blocks"


async def test_with_limits_on_a_second_post_within_a_second_is_told_to_wait() -> None:
    now = [1_000.0]
    async with serving(clock=lambda: now[0], limited=True) as slack, client_of(slack) as client:
        await client.chat_postMessage(channel=DEPLOYS, text="a")
        with pytest.raises(SlackApiError) as caught:
            await client.chat_postMessage(channel=DEPLOYS, text="b")
        now[0] += 1.0
        await client.chat_postMessage(channel=DEPLOYS, text="b")

    assert caught.value.response.status_code == 429
    assert caught.value.response.headers["Retry-After"] == "1"


@pytest.mark.parametrize(
    ("fault", "shown"),
    [
        (Fault.RATELIMITED, 0),
        (Fault.RATELIMITED_TEXT, 0),
        (Fault.STATUS_500, 0),
        (Fault.HTML_503, 0),
        (Fault.HTML_200, 0),
        (Fault.CODE, 0),
        (Fault.DROP_BEFORE, 0),
        (Fault.HANG_BEFORE, 0),
        (Fault.DROP_AFTER, 1),
        (Fault.HANG_AFTER, 1),
        (Fault.BROKEN_JSON, 1),
        (Fault.INTERNAL_ERROR, 1),
        (Fault.FATAL_ERROR, 1),
        (Fault.SLOW_BODY, 1),
    ],
)
async def test_a_fault_comes_before_or_after_the_effect_as_its_name_says(
    fault: Fault, shown: int
) -> None:
    async with serving() as slack, client_of(slack, seconds=0.2) as client:
        slack.faults.plan("chat.postMessage", fault, code="channel_is_limited", seconds=2)

        with pytest.raises((SlackApiError, aiohttp.ClientError, TimeoutError)):
            await client.chat_postMessage(channel=DEPLOYS, text="a")

        assert len(slack.world.channels[DEPLOYS].messages) == shown
        slack.let_go()


async def test_a_fault_hits_the_calls_it_is_planned_for_and_no_others() -> None:
    async with serving() as slack, client_of(slack) as client:
        slack.faults.plan("auth.test", Fault.CODE, first=2, count=2, code="team_access_not_granted")
        outcomes = []
        for _ in range(4):
            try:
                outcomes.append((await client.auth_test())["ok"])
            except SlackApiError as error:
                outcomes.append(error.response["error"])

    code = "team_access_not_granted"
    assert outcomes == [True, code, code, True]
