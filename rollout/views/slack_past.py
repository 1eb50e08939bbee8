"""The head message of a run that is over and has been followed by another: its last state."""

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
