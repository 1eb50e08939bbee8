"""Answers to commands: whoever was obeyed is told so, though it takes several tries."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

from rollout.api.action import ActionStatus
from rollout.api.meta import Key
from rollout.base.errors import NotFound
from rollout.engine.decision import Answer
from rollout.ports import Patch


class Answers:
    """Writes answers into the status of commands, and remembers those that are owed.

    Args:
        write: patches the status of a command.
    """

    def __init__(self, *, write: Callable[[Key, Patch], Awaitable[object]]) -> None:
        self._write = write
        self._owed: dict[Key, dict[str, ActionStatus]] = {}

    def forget(self, key: Key) -> None:
        """The Rollout is gone."""
        self._owed.pop(key, None)

    async def give(self, key: Key, answers: Sequence[Answer], *, now: datetime) -> None:
        """Answer these commands to a Rollout, and those that could not be answered before.

        Raises:
            Retry, Terminal, BrokenAnswer: as the cluster says; what is left stays owed.
        """
        owed = self._owed.setdefault(key, {})
        for answer in answers:
            said = ActionStatus(outcome=answer.outcome, message=answer.message[:1024], at=now)
            owed.setdefault(answer.action, said)
        for action, said in tuple(owed.items()):
            await self._give(Key(key.namespace, action), said)
            del owed[action]
        del self._owed[key]

    async def _give(self, action: Key, said: ActionStatus) -> None:
        """Answer a command; that it is gone by now is fine."""
        document = said.model_dump(mode="json", by_alias=True, exclude_none=True)
        try:
            await self._write(action, [{"op": "add", "path": "/status", "value": document}])
        except NotFound:
            return
