"""A request is Slack's when it is signed with our secret, just now, for the first time."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.web.signature import REMEMBERED_COUNT_MAX, Verifier

SECRET = "9d1c2b3a4e5f60718293a4b5c6d7e8f9"
AT = 1_767_225_600
BODY = (
    b"payload=%7B%22type%22%3A%22block_actions%22%2C%22actions%22%3A%5B%7B%22action_id%22%3A"
    b"%22approve%22%2C%22value%22%3A%22rel-42%22%7D%5D%7D"
)
SIGNED = "v0=016bd608de0b81c39a2bc73892bb05575eb6364d3760b7c5d3f3e52259c5e7ba"

SLACKS_BODY = (
    b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow"
    b"&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner"
    b"&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2F"
    b"commands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN"
    b"&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
)


def sign(body: bytes, *, at: int = AT, secret: str = SECRET) -> str:
    made = hmac.new(secret.encode(), f"v0:{at}:".encode() + body, hashlib.sha256)
    return f"v0={made.hexdigest()}"


def accepted(
    *,
    timestamp: str = str(AT),
    signature: str = SIGNED,
    body: bytes = BODY,
    now_seconds: float = AT,
    secrets: tuple[str, ...] = (SECRET,),
) -> bool:
    return Verifier(secrets).accepts(
        timestamp=timestamp, signature=signature, body=body, now_seconds=now_seconds
    )


def test_the_example_of_slacks_own_page_is_accepted() -> None:
    assert accepted(
        timestamp="1531420618",
        signature="v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
        body=SLACKS_BODY,
        now_seconds=1531420618,
        secrets=("8f742231b10e8888abcd99yyyzzz85a5",),
    )


def test_a_press_is_accepted_as_it_was_computed_elsewhere() -> None:
    assert accepted()


def test_a_body_that_was_parsed_and_written_again_is_another_one() -> None:
    assert not accepted(body=BODY.replace(b"%3A", b":"))


@pytest.mark.parametrize(
    ("late", "is_accepted"), [(300, True), (301, False), (-300, True), (-301, False)]
)
def test_a_request_is_accepted_for_five_minutes_either_way(late: int, is_accepted: bool) -> None:
    assert accepted(now_seconds=AT + late) is is_accepted


@pytest.mark.parametrize(
    "timestamp",
    ["", "abc", "1.5", "-1", "+1767225600", " 1767225600", "1767225600\n", "١٢٣", "9" * 5000],
)
def test_a_timestamp_that_is_no_number_is_refused(timestamp: str) -> None:
    assert not accepted(timestamp=timestamp)


@pytest.mark.parametrize(
    "signature",
    [
        "",
        "v0=",
        SIGNED.removeprefix("v0="),
        SIGNED.replace("v0=", "v1="),
        SIGNED.upper(),
        SIGNED[:-1],
        f"{SIGNED}0",
        "v0=ü",
        "v0=\udcff",
        "v0=" + "0" * 10_000,
    ],
)
def test_a_signature_that_differs_in_anything_is_refused(signature: str) -> None:
    assert not accepted(signature=signature)


def test_a_request_that_was_signed_with_another_secret_is_refused() -> None:
    assert not accepted(signature=sign(BODY, secret="other"))


@pytest.mark.parametrize("secrets", [("old", SECRET), (SECRET, "new")])
def test_while_a_secret_is_changed_both_are_good(secrets: tuple[str, ...]) -> None:
    assert accepted(secrets=secrets)


@pytest.mark.parametrize("secrets", [(), ("",), (SECRET, "")])
def test_without_a_secret_there_is_no_door(secrets: tuple[str, ...]) -> None:
    with pytest.raises(AssertionError):
        Verifier(secrets)


def test_a_request_is_accepted_once() -> None:
    verifier = Verifier((SECRET,))

    def again(now: float) -> bool:
        return verifier.accepts(timestamp=str(AT), signature=SIGNED, body=BODY, now_seconds=now)

    # From the future it can be shown for ten minutes.
    assert [again(AT - 299), again(AT - 299), again(AT), again(AT + 299)] == [
        True,
        False,
        False,
        False,
    ]


def test_what_can_no_longer_be_accepted_is_forgotten_and_memory_is_bounded() -> None:
    verifier = Verifier((SECRET,))
    for number in range(REMEMBERED_COUNT_MAX + 5):
        body = str(number).encode()
        assert verifier.accepts(timestamp=str(AT), signature=sign(body), body=body, now_seconds=AT)
    assert len(verifier._seen) == REMEMBERED_COUNT_MAX

    later = AT + 601
    verifier.accepts(
        timestamp=str(later), signature=sign(b"", at=later), body=b"", now_seconds=later
    )
    assert len(verifier._seen) == 1


def test_a_body_that_is_no_text_can_be_signed_and_verified() -> None:
    body = b"payload=\xff\xfe"

    assert accepted(body=body, signature=sign(body))


@given(st.text(max_size=20), st.text(max_size=80), st.binary(max_size=50))
def test_nobody_without_the_secret_gets_in_or_does_harm(
    timestamp: str, signature: str, body: bytes
) -> None:
    assert not accepted(timestamp=timestamp, signature=signature, body=body)
