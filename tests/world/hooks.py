"""Receivers of POSTs in memory, for simulated time: what they got, and what they answer."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rollout.base.errors import RolloutError, Unreachable
from rollout.ports import Clock

TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """A document that somebody was sent."""

    url: str
    document: Mapping[str, Any]
    content_type: str
    key: str
    at_seconds: float


@dataclass(kw_only=True)
class FakeHooks:
    """A ports.Hooks.

    Attributes:
        clock: time.
        posted: all that was sent, also what got no answer.
        taken: what got a yes.
        errors: by how an address begins, what it answers instead of yes.
        hanging: how addresses begin that never answer.
        takes_and_fails: errors come after a document was taken, as when an answer is lost.
    """

    clock: Clock
    posted: list[Posted] = field(default_factory=list)
    taken: list[Posted] = field(default_factory=list)
    errors: dict[str, RolloutError] = field(default_factory=dict)
    hanging: set[str] = field(default_factory=set)
    takes_and_fails: bool = False
    closed: bool = False

    async def post(
        self,
        url: str,
        document: Mapping[str, Any],
        *,
        content_type: str,
        idempotency_key: str,
        timeout_seconds: float | None = None,
    ) -> None:
        one = Posted(
            url=url,
            document=copy.deepcopy(dict(document)),
            content_type=content_type,
            key=idempotency_key,
            at_seconds=self.clock.monotonic_seconds(),
        )
        self.posted.append(one)
        if any(url.startswith(begin) for begin in self.hanging):
            patience = timeout_seconds or TIMEOUT_SECONDS
            await asyncio.sleep(patience)
            raise Unreachable(url, why=f"no answer within {patience:g} s")
        await asyncio.sleep(0.01)
        error = next((e for begin, e in self.errors.items() if url.startswith(begin)), None)
        if error is None or self.takes_and_fails:
            self.taken.append(one)
        if error is not None:
            raise error

    async def close(self) -> None:
        self.closed = True

    def at(self, url: str) -> list[Posted]:
        """What one address has taken."""
        return [one for one in self.taken if one.url == url]
