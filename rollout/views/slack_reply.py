"""What is told in the thread of a run: one message for each thing that happened."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from rollout.api.chat import Message
from rollout.api.meta import Key
from rollout.api.notify import News, Telling
from rollout.api.status import Run
from rollout.views import sentences
from rollout.views.slack_names import named
from rollout.views.slack_text import context, escaped, moment, section

MESSAGE_LENGTH_MAX = 2500

LOUD = frozenset({News.WAITING, News.BLOCKED, News.ROLLING_BACK})
"""What is shown in the channel too: somebody has to do something, or will want to know at once."""

_MARKS: Mapping[News, tuple[str, str]] = MappingProxyType(
    {
        News.STARTED: ("🚀", "Started"),
        News.STEP_BEGAN: ("🔵", "Next step"),
        News.WAITING: ("⏸️", "Waiting"),
        News.APPROVED: ("✅", "Approved"),
        News.REJECTED: ("🔴", "Rejected"),
        News.COMMANDED: ("👤", "Commanded"),
        News.BLOCKED: ("⚠️", "Blocked"),
        News.ROLLING_BACK: ("🔴", "Rolling back"),
        News.PROMOTED: ("✅", "Promoted"),
        News.ROLLED_BACK: ("🔴", "Rolled back"),
        News.ABORTED: ("🔴", "Aborted"),
        News.SUPERSEDED: ("⚪", "Superseded"),
        News.MISSED: ("…", "Earlier"),
    }
)


def reply(telling: Telling, *, run: Run | None = None, key: Key | None = None) -> Message:
    """A message of the thread.

    Args:
        telling: what happened.
        run: the run it happened in; its approvers are mentioned. None: nobody is.
        key: the Rollout, where the message stands by itself and in no thread.
    """
    sign, word = _MARKS[telling.news]
    message = sentences.sentence(telling.message)
    told = named(message, run, length_max=MESSAGE_LENGTH_MAX, by=telling.by)
    where = [f"{sentences.percent(telling.weight)} to {escaped(telling.revision, 253)}"]
    if telling.step > 0:
        where.insert(0, f"step {telling.step}")
    if key is not None:
        where.insert(0, escaped(f"{key}, run {telling.run}", 300))
    blocks = (
        section(f"{sign} *{word}.* {told}"),
        context(" · ".join([*where, moment(telling.at)])),
    )
    about = f"{escaped(str(key), 300)}: " if key is not None else ""
    return Message(text=f"{about}{word}: {told}", blocks=blocks)
