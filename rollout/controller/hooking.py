"""Asks webhooks whether runs may go on: beside the loop, so that one that hangs delays nobody.

What they say is kept in memory until a decision has written it down. A question that a crash cuts
short is asked again under the same ``Idempotency-Key`` and with the same words: nothing goes into
one that changes between two looks.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal
from urllib.parse import urlsplit

import structlog

from rollout.api.meta import Key, Manifest
from rollout.api.webhook import BECAUSE_LENGTH_MAX, INFORMING, HookResult, is_allowed
from rollout.base.errors import Overloaded, Retry, RolloutError
from rollout.base.quantity import parse_duration
from rollout.controller.cache import key_of
from rollout.engine.decision import Decision, HookCall
from rollout.engine.observation import Observation
from rollout.ports import Clock, Hooks
from rollout.views import notices

AT_ONCE_COUNT_MAX = 16
"""Questions to one server at one time; who asks another one does not wait for them."""

BACK_OFF_SECONDS_MIN, BACK_OFF_SECONDS_MAX = 1.0, 60.0
"""How long after no answer a webhook is asked again; doubled each time."""

RETRY_AFTER_SECONDS_MAX = 300.0
"""The longest patience that is granted to a server that asks for it."""

log = structlog.get_logger(__name__)

_Id = tuple[Key, str, HookCall]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """A question.

    Attributes:
        key: the Rollout.
        uid: of the Rollout: another of its name has its own questions.
        call: what is asked.
        document: the words.
    """

    key: Key
    uid: str
    call: HookCall
    document: Mapping[str, Any]

    @property
    def id(self) -> _Id:
        """The same for the same question."""
        return self.key, self.uid, self.call


@dataclass(frozen=True, slots=True, kw_only=True)
class _Present:
    """The run that a Rollout is in, or was in last."""

    uid: str
    run: str
    goes_on: bool


class Hooking:
    """Asks, and remembers what was said.

    Args:
        hooks: posts; None: no address is allowed.
        prefixes: how addresses begin that may be asked.
        clock: time.
        ring: has a Rollout looked at.
    """

    def __init__(
        self,
        hooks: Hooks | None,
        *,
        prefixes: tuple[str, ...],
        clock: Clock,
        ring: Callable[[Key], object],
    ) -> None:
        self._hooks = hooks
        self._prefixes = prefixes if hooks is not None else ()
        self._clock = clock
        self._ring = ring
        self._present: dict[Key, _Present] = {}
        self._said: dict[Key, dict[str, HookResult]] = {}
        self._busy: set[_Id] = set()
        self._waiting: deque[_Case] = deque()
        self._stirred = asyncio.Event()
        self._doors: dict[str, asyncio.Semaphore] = {}

    def begin(self) -> None:
        """A term as the leader begins: what was asked in an earlier one is another's."""
        self._present.clear()
        self._said.clear()
        self._busy.clear()
        self._waiting.clear()

    def forget(self, key: Key) -> None:
        """The Rollout is gone."""
        self._present.pop(key, None)
        self._said.pop(key, None)

    def seen(self, manifest: Manifest, o: Observation) -> Observation:
        """The observation, with what webhooks have said to its run and which addresses may be."""
        run, present = o.status.run, self._present.get(o.key)
        hooks: tuple[HookResult, ...] = ()
        if run is not None and present is not None:
            mine = (present.uid, present.run) == (_uid(manifest), run.id)
            hooks = tuple(self._said.get(o.key, {}).values()) if mine else ()
        return replace(o, hooks=hooks, hook_prefixes=self._prefixes)

    def want(self, manifest: Manifest, decision: Decision) -> None:
        """Ask what a decision that was carried out wants to know; what nobody wants is let go."""
        key, uid, run = key_of(manifest), _uid(manifest), decision.status.run
        if run is None or not run.plan.webhooks:
            self.forget(key)
            return
        goes_on = run.ended_at is None and run.ending is None
        before = self._present.get(key)
        if before is None or (before.uid, before.run) != (uid, run.id):
            self._said.pop(key, None)
        self._present[key] = _Present(uid=uid, run=run.id, goes_on=goes_on)
        for call in decision.hooks:
            document = notices.question(key, run, call, uid=uid)
            case = _Case(key=key, uid=uid, call=call, document=document)
            if case.id not in self._busy and not self._is_answered(case):
                self._busy.add(case.id)
                self._waiting.append(case)
                self._stirred.set()

    def _is_answered(self, case: _Case) -> bool:
        said = self._said.get(case.key, {}).get(case.call.webhook.name)
        return said is not None and (said.step, said.round) == (case.call.step, case.call.round)

    async def run(self) -> None:
        """Ask, for ever; without webhooks nothing is asked at all."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._stirred.clear()
                while self._waiting:
                    tasks.create_task(self._ask(self._waiting.popleft()))
                await self._stirred.wait()

    async def _ask(self, case: _Case) -> None:
        try:
            result = await self._answer(case)
        finally:
            self._busy.discard(case.id)
        present = self._present.get(case.key)
        if result is None or present is None:
            return
        if (present.uid, present.run) == (case.uid, case.call.run):
            self._said.setdefault(case.key, {})[result.name] = result
            self._ring(case.key)

    async def _answer(self, case: _Case) -> HookResult | None:
        """What a webhook says, asked again where it says nothing; None: nobody wants to know."""
        hook = case.call.webhook
        if self._hooks is None or not is_allowed(hook.url, self._prefixes):
            return self._result(case, "Failed", attempts=1, because="its address is not allowed")
        because, back_off_seconds = "", BACK_OFF_SECONDS_MIN
        for attempt in range(1, hook.retries + 2):
            if not self._is_wanted(case):
                return None
            try:
                return await self._try(case, self._hooks, attempt=attempt)
            except Retry as error:
                because = str(error)
                pause_seconds = max(back_off_seconds, _patience_seconds(error))
            log.info(
                "a webhook does not answer", rollout=str(case.key), hook=hook.name, why=because
            )
            if attempt <= hook.retries:
                await self._clock.sleep(pause_seconds)
                back_off_seconds = min(BACK_OFF_SECONDS_MAX, 2 * back_off_seconds)
        return self._result(case, "Failed", attempts=hook.retries + 1, because=because)

    async def _try(self, case: _Case, hooks: Hooks, *, attempt: int) -> HookResult:
        """One attempt; raises `Retry` where there is no answer."""
        try:
            await self._post(case, hooks)
        except Retry:
            raise
        except RolloutError as error:
            return self._result(case, "Failed", attempts=attempt, because=str(error))
        return self._result(case, "Passed", attempts=attempt)

    async def _post(self, case: _Case, hooks: Hooks) -> None:
        """One attempt; its time begins when there is room at the server's door."""
        hook = case.call.webhook
        door = self._doors.setdefault(
            urlsplit(hook.url).netloc, asyncio.Semaphore(AT_ONCE_COUNT_MAX)
        )
        async with door:
            await hooks.post(
                hook.url,
                case.document,
                content_type="application/json",
                idempotency_key=str(case.document["id"]),
                timeout_seconds=parse_duration(hook.timeout),
            )

    def _is_wanted(self, case: _Case) -> bool:
        """Whether the answer can still matter; what only informs is told to its end."""
        if case.call.webhook.point in INFORMING:
            return True
        present = self._present.get(case.key)
        wanted = _Present(uid=case.uid, run=case.call.run, goes_on=True)
        return present == wanted

    def _result(
        self,
        case: _Case,
        outcome: Literal["Passed", "Failed"],
        *,
        attempts: int,
        because: str = "",
    ) -> HookResult:
        call = case.call
        told = " ".join(because.split()).rstrip(".,;: ")
        log.info(
            "a webhook answered",
            rollout=str(case.key),
            hook=call.webhook.name,
            outcome=outcome,
            because=told,
        )
        return HookResult(
            name=call.webhook.name,
            point=call.webhook.point,
            step=call.step,
            round=call.round,
            outcome=outcome,
            attempts=attempts,
            at=self._clock.now(),
            because=told[:BECAUSE_LENGTH_MAX],
        )


def _uid(manifest: Manifest) -> str:
    return str(manifest["metadata"].get("uid", ""))


def _patience_seconds(error: Retry) -> float:
    """How long a server asks to be left alone."""
    if isinstance(error, Overloaded):
        return min(RETRY_AFTER_SECONDS_MAX, error.retry_after_seconds)
    return 0.0
