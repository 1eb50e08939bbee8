"""``python -m tests.people.picture``: how messages read in Slack, as HTML and as a picture.

The blocks are those that the controller sends; only how they are painted is a guess, in colours of
nobody's. With a Chromium on the ``PATH`` it also writes ``messages.png`` beside this file.
"""

from __future__ import annotations

import argparse
import html
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from rollout.api.action import ActionOutcome
from rollout.api.chat import Message
from rollout.api.notify import News, Sink, Telling
from rollout.views import slack_answers, slack_ask
from rollout.views.slack_head import head
from rollout.views.slack_reply import reply
from tests.people.runs import STATES, WAITS, subject
from tests.people.shown import buttons
from tests.views.samples import NOW

PICTURE = Path(__file__).with_name("messages.png")
WIDTH = 1240
HEIGHT = 1500

PEOPLE = {"U0ALICE": "alice", "U0BOB": "bob"}
GROUPS = {"S0MANAGERS": "release-managers"}

STYLE = """
* { box-sizing: border-box; margin: 0; }
body { width: 1240px; padding: 24px; background: #eceff3; color: #1d1c1d;
       font: 14.5px/1.46 "DejaVu Sans", "Noto Color Emoji", sans-serif; }
.columns { display: flex; gap: 20px; align-items: flex-start; }
.column { flex: 1; display: flex; flex-direction: column; gap: 18px; min-width: 0; }
.card { background: #fff; border: 1px solid #d9dde3; border-radius: 10px; padding: 14px 18px 12px; }
.card h2 { font-size: 11.5px; font-weight: normal; letter-spacing: .04em; color: #6b7480;
           margin-bottom: 10px; }
.message { display: flex; gap: 10px; padding: 4px 0; }
.face { flex: none; width: 34px; height: 34px; border-radius: 8px; background: #2f5d8a;
        color: #fff; text-align: center; line-height: 34px; font-weight: bold; }
.body { min-width: 0; flex: 1; }
.who { font-weight: bold; } .who small { font-weight: normal; color: #6b7480; margin-left: 6px; }
.who b { font-size: 10px; background: #e3e6ea; color: #525a64; border-radius: 3px;
         padding: 1px 4px; margin-left: 5px; font-weight: normal; vertical-align: 1px; }
.header { font-size: 17px; font-weight: bold; margin: 2px 0 4px; }
.section { margin: 4px 0; overflow-wrap: anywhere; } .context { color: #6b7480; font-size: 12.5px;
  margin: 6px 0 2px; }
.actions { display: flex; gap: 8px; margin: 9px 0 6px; }
.button { border: 1px solid #b9c0c9; border-radius: 5px; padding: 4px 13px; font-weight: bold;
          font-size: 13.5px; }
.primary { background: #1a7a52; border-color: #1a7a52; color: #fff; }
.danger { border-color: #c9314f; color: #c9314f; }
code { font: 12.5px "DejaVu Sans Mono", monospace; background: #f3f4f6; color: #a8352b;
       border: 1px solid #e1e4e8; border-radius: 3px; padding: 1px 3px; white-space: pre; }
.mention { background: #e6f0fa; color: #1c5c9c; border-radius: 3px; padding: 0 2px; }
a { color: #1c5c9c; text-decoration: none; }
.thread { border-left: 2px solid #d9dde3; padding-left: 12px; margin-left: 16px; }
.note { background: #f3f4f6; border-radius: 8px; padding: 9px 13px; margin: 6px 0;
        font-size: 13.5px; overflow-wrap: anywhere; }
.only { color: #6b7480; font-size: 12px; margin-bottom: 2px; }
.modal { border: 1px solid #c8ced6; border-radius: 10px; overflow: hidden; max-width: 430px;
         margin: 4px auto 6px; }
.modal .title { font-weight: bold; padding: 10px 16px; border-bottom: 1px solid #e1e4e8; }
.modal .inside { padding: 10px 16px; } .modal label { font-weight: bold; display: block; }
.modal .field { border: 1px solid #9aa3ad; border-radius: 5px; padding: 6px 10px; height: 64px;
                margin: 4px 0; }
.modal .hint { color: #6b7480; font-size: 12.5px; }
.modal .foot { display: flex; gap: 8px; justify-content: flex-end; padding: 8px 16px 12px; }
"""


def painted(text: Mapping[str, Any]) -> str:
    """One text object as HTML."""
    if text["type"] == "plain_text":
        return html.escape(str(text["text"]))
    links: list[str] = []

    def keep(found: re.Match[str]) -> str:
        links.append(_special(found.group(1)))
        return f"\x00{len(links) - 1}\x00"

    # What stands in angle brackets is Slack's; what was escaped is somebody's text.
    shown = re.sub(r"<([^<>]+)>", keep, str(text["text"]))
    shown = html.escape(html.unescape(shown), quote=False)
    shown = re.sub(r"`([^`\n]+)`", r"<code>\1</code>", shown)
    shown = re.sub(r"(?<![\w*])\*([^*\n]+)\*(?![\w*])", r"<b>\1</b>", shown)
    shown = shown.replace("\n", "<br>")
    return re.sub(r"\x00(\d+)\x00", lambda found: links[int(found.group(1))], shown)


def _special(inside: str) -> str:
    target, _, label = inside.partition("|")
    if target.startswith("@"):
        return f'<span class="mention">@{PEOPLE.get(target[1:], target[1:])}</span>'
    if target.startswith("!subteam^"):
        return f'<span class="mention">@{GROUPS.get(target[9:], target[9:])}</span>'
    if target.startswith("!date^"):
        _, seconds, form = target.split("^")
        at = datetime.fromtimestamp(int(seconds), tz=UTC)
        return f"{at:%H:%M:%S}" if form == "{time_secs}" else f"today {at:%H:%M}"
    return f'<a href="#">{label}</a>'


def block(found: Mapping[str, Any]) -> str:
    """One block as HTML."""
    match found["type"]:
        case "header" | "section":
            return f'<div class="{found["type"]}">{painted(found["text"])}</div>'
        case "context":
            inside = " ".join(painted(one) for one in found["elements"])
            return f'<div class="context">{inside}</div>'
        case "actions":
            buttons = "".join(
                f'<span class="button {one.get("style", "")}">{painted(one["text"])}</span>'
                for one in found["elements"]
            )
            return f'<div class="actions">{buttons}</div>'
        case _:
            return ""


def message(found: Message, *, at: str, note: str = "") -> str:
    """A message as HTML."""
    only = f'<div class="only">{note}</div>' if note else ""
    inside = "".join(block(one) for one in found.blocks)
    who = f'<div class="who">rollout<b>APP</b><small>{at}</small></div>'
    return (
        f'<div class="message"><div class="face">r</div>'
        f'<div class="body">{only}{who}{inside}</div></div>'
    )


def modal(view: Mapping[str, Any]) -> str:
    """A dialog as HTML."""
    intro, field = view["blocks"]
    return (
        f'<div class="modal"><div class="title">{painted(view["title"])}</div>'
        f'<div class="inside">{block(intro)}<label>{painted(field["label"])}</label>'
        '<div class="field">carts are empty for signed-in users</div>'
        f'<div class="hint">{painted(field["hint"])}</div></div>'
        f'<div class="foot"><span class="button">{painted(view["close"])}</span>'
        f'<span class="button primary">{painted(view["submit"])}</span></div></div>'
    )


def note(text: str) -> str:
    """A notification as HTML."""
    return f'<div class="note">{painted({"type": "mrkdwn", "text": text})}</div>'


def card(title: str, *inside: str) -> str:
    return f'<div class="card"><h2>{title}</h2>{"".join(inside)}</div>'


def telling(
    news: News, words: str, *, step: int, weight: float, minutes: int, by: str = ""
) -> Telling:
    return Telling(
        id=1,
        news=news,
        run="14",
        revision="v3",
        step=step,
        weight=weight,
        at=NOW + timedelta(minutes=minutes),
        message=words,
        by=by,
        still=(Sink.SLACK,),
    )


def shown(name: str, *, url: str = "https://rollouts.example/shop/reviews") -> Message:
    return head(subject(name), now=NOW, uid="6f9c2f0e-5d0b-4c57-9d8e-2a7f2f7b3c11", url=url)


def page() -> str:
    """The whole page."""
    waits = reply(
        telling(News.WAITING, WAITS, step=3, weight=25, minutes=-2), run=STATES["approval"].run
    )
    said = telling(
        News.APPROVED,
        "slack:U0BOB approved step 3 (slack): looks ok",
        step=3,
        weight=25,
        minutes=2,
        by="slack:U0BOB",
    )
    ask = slack_ask.read(buttons(shown("approval"))["rollout.reject"]["value"])
    done = slack_answers.answered(ActionOutcome.APPLIED, "approved step 3; one more is needed")
    guest = slack_answers.may_not("only those may approve whom the run names")
    only = "Only visible to you"
    left = [
        card(
            "The head of the thread, while the run goes on",
            message(shown("progressing"), at="11:56"),
        ),
        card(
            "The same message, at an approval, and its thread",
            message(shown("approval"), at="11:56"),
            '<div class="thread">',
            message(waits, at="11:58"),
            message(reply(said, run=STATES["approved"].run), at="12:02"),
            "</div>",
        ),
        card(
            "What a notification and a screen reader give",
            *(note(shown(name).text) for name in ("approval", "rolled back")),
        ),
    ]
    right = [
        card("A gate fails: it has been taken back", message(shown("rolled back"), at="11:56")),
        card("Promoted, and by whom", message(shown("promoted"), at="11:56")),
        card("Reject asks for a reason", modal(slack_answers.reason_dialog(ask, spot=None).view)),
        card(
            "What the one who pressed is told",
            message(done, at="12:02", note=only),
            message(guest, at="12:03", note=only),
            message(slack_answers.over(ask, STATES["approved"]), at="12:09", note=only),
        ),
    ]
    columns = "".join(f'<div class="column">{"".join(one)}</div>' for one in (left, right))
    return (
        f'<!doctype html><meta charset="utf-8"><style>{STYLE}</style>'
        f'<div class="columns">{columns}</div>'
    )


def photograph(chromium: str, text: str, picture: Path) -> None:
    """The page as a picture."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "messages.html")
        file.write_text(text, encoding="utf-8")
        options = ["--headless", "--no-sandbox", "--hide-scrollbars", "--disable-gpu"]
        options += [f"--window-size={WIDTH},{HEIGHT}", f"--user-data-dir={folder}/profile"]
        subprocess.run(
            [chromium, *options, f"--screenshot={picture}", file.as_uri()],
            check=True,
            capture_output=True,
            timeout=60,
        )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.people.picture", description=__doc__)
    parser.add_argument("--html", type=Path, help="write the page here too")
    given = parser.parse_args()
    text = page()
    if given.html:
        given.html.write_text(text, encoding="utf-8")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium:
        photograph(chromium, text, PICTURE)


if __name__ == "__main__":
    main()
