"""What the API server, or a webhook behind it, warned of when weights were written."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from rollout.api.meta import Key
from rollout.engine.decision import Happening

ADMISSION_WARNING = "AdmissionWarning"

WARNINGS_COUNT_MAX = 8
"""Told in one run. Each write brings the same ones again; whoever makes up new ones each time is
not listened to for ever."""


@dataclass(slots=True, kw_only=True)
class _Heard:
    """Of one run."""

    run: str
    known: dict[str, None] = field(default_factory=dict)
    untold: list[str] = field(default_factory=list)


class Warned:
    """Remembers, per Rollout, the warnings of the present run; each is told once."""

    def __init__(self) -> None:
        self._heard: dict[Key, _Heard] = {}

    def forget(self, key: Key) -> None:
        """The Rollout is gone."""
        self._heard.pop(key, None)

    def hear(self, key: Key, *, run: str, subject: str, sentences: Iterable[str]) -> None:
        """Take in what came with a write; ``subject`` is what was written, for people."""
        found = self._heard.get(key)
        if found is None or found.run != run:
            found = self._heard[key] = _Heard(run=run)
        for sentence in sentences:
            told = f"{subject} was written, with a warning: {sentence}"
            if told not in found.known and len(found.known) < WARNINGS_COUNT_MAX:
                found.known[told] = None
                found.untold.append(told)

    def take(self, key: Key) -> list[Happening]:
        """What was not told yet; it counts as told from now on."""
        found = self._heard.get(key)
        if found is None:
            return []
        untold, found.untold = found.untold, []
        return [Happening(type="Warning", reason=ADMISSION_WARNING, message=one) for one in untold]
