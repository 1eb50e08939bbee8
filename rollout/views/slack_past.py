"""The last words of head messages: others have followed, or tell the rest."""

from __future__ import annotations

from rollout.api.chat import Message
from rollout.api.meta import Key
from rollout.api.status import PastRun
from rollout.views import sentences
from rollout.views.glyphs import UNICODE
from rollout.views.slack_head import ENDS, MESSAGE_LENGTH_MAX
from rollout.views.slack_text import TEXT_LENGTH_MAX, context, escaped, header, person, section


def past_head(key: Key, past: PastRun) -> Message:
    """What the head says for ever, when the status speaks of another run already."""
    title = f"{key}: {past.stable_revision} {UNICODE.arrow} {past.revision}"
    sign, word = ENDS[past.outcome]
    because = sentences.sentence(past.because)
    requests = sentences.plural(past.canary_requests, "request")
    small = [
        f"run {escaped(past.id, 20)}",
        f"took {sentences.span(past.started_at, past.ended_at)}",
        f"at most {sentences.percent(past.max_weight)}",
        f"{requests} to {escaped(past.revision, 253)}, {past.canary_failures:,} failed",
    ]
    if past.by:
        small.append(f"by {person(past.by)}")
    blocks = (
        header(title),
        section(f"{sign} *{word}.* {escaped(because, MESSAGE_LENGTH_MAX)}"),
        context(" · ".join(small)),
    )
    text = f"{title}: {word.lower()}: {because}"
    return Message(text=escaped(text, TEXT_LENGTH_MAX), blocks=blocks)


def moved(key: Key) -> Message:
    """What the head says where the run is told no more."""
    return _last(key, "The rest of this run is told in another channel.")


def gone(key: Key, revision: str) -> Message:
    """What the head says when the Rollout was deleted in mid-run."""
    told = f"The Rollout was deleted while {revision} was on trial; its traffic went back before."
    return _last(key, told)


def _last(key: Key, told: str) -> Message:
    blocks = (header(str(key)), section(f"⚪ {escaped(told, MESSAGE_LENGTH_MAX)}"))
    return Message(text=escaped(f"{key}: {told}", TEXT_LENGTH_MAX), blocks=blocks)
