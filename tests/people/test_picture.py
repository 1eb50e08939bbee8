"""The picture of the messages shows what the controller sends, and its painter knows all of it."""

from __future__ import annotations

from tests.people import picture


def test_every_form_of_slacks_that_we_send_is_painted() -> None:
    page = picture.page()

    assert "@release-managers" in page
    assert "today 15:58" in page
    assert "<code>rollout approve reviews</code>" in page
    for unpainted in ("&lt;@", "&lt;!", "!date", "\x00"):
        assert unpainted not in page


def test_somebodys_text_stays_text() -> None:
    told = picture.painted({"type": "mrkdwn", "text": "a &lt;b&gt; *c* `d` <https://x|e>"})

    assert told == 'a &lt;b&gt; <b>c</b> <code>d</code> <a href="#">e</a>'


def test_the_picture_is_there() -> None:
    assert picture.PICTURE.read_bytes().startswith(b"\x89PNG")
