"""Webhooks that decide: addresses that are asked before a run goes on, and what they have said."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Literal
from urllib.parse import unquote, urlsplit

from pydantic import Field

from rollout.api.gate import Duration, Name
from rollout.api.meta import Model, Time
from rollout.api.notify import WebUrl

WEBHOOKS_MAX = 8
"""Webhooks per Rollout: each keeps its newest answer in the status, which is bounded."""

BECAUSE_LENGTH_MAX = 200
"""Characters of an answer that are kept."""


class HookPoint(StrEnum):
    """When a webhook is asked; what comes after a run is told, and decides nothing."""

    BEFORE_FIRST_TRAFFIC = "BeforeFirstTraffic"
    """Before the canary gets anything at all: a weight, a match or copies."""
    BEFORE_STEP = "BeforeStep"
    """Before each step, or before those that ``steps`` names."""
    BEFORE_PROMOTION = "BeforePromotion"
    """Before the canary gets 100 percent."""
    AFTER_PROMOTION = "AfterPromotion"
    """After the canary has become the stable revision."""
    AFTER_ROLLBACK = "AfterRollback"
    """After all traffic is back, whoever or whatever took it back."""


INFORMING = frozenset({HookPoint.AFTER_PROMOTION, HookPoint.AFTER_ROLLBACK})
"""Points at which an answer decides nothing."""


class Webhook(Model):
    """An address that is asked by POST before a run goes on. Any 2xx is a yes.

    No answer in time, 429 and 5xx are asked again; any other answer is a no.
    """

    name: Name
    """How the status and people call it."""
    point: HookPoint
    """When it is asked. AfterPromotion and AfterRollback only inform."""
    url: WebUrl
    """Where; one that the controller's configuration allows."""
    timeout: Duration = "10s"
    """How long one answer may take."""
    retries: Annotated[int, Field(ge=0, le=20)] = 3
    """How many times it is asked again where there is no answer, after 1 s, 2 s, 4 s and so on."""
    failure: Literal["Rollback", "Hold", "Ignore"] = "Rollback"
    """What comes of a no: take all traffic back; wait, and ask again every minute; or go on."""
    steps: (
        Annotated[tuple[Annotated[int, Field(ge=1, le=50)], ...], Field(max_length=50)] | None
    ) = None
    """With BeforeStep, the steps before which it is asked, counted from 1. Absent: each."""


class HookResult(Model):
    """The newest answer of a webhook in a run."""

    name: Annotated[str, Field(max_length=63)]
    """The webhook."""
    point: HookPoint
    """When it was asked."""
    step: Annotated[int, Field(ge=0)]
    """The step before which it was asked; after the run, the last one."""
    round: Annotated[int, Field(ge=1)] = 1
    """How many times it was asked anew, since its no does not end the run."""
    outcome: Literal["Passed", "Failed"]
    """Whether it said yes."""
    attempts: Annotated[int, Field(ge=1)]
    """How many times it was asked in this round."""
    at: Time
    """When that was known."""
    because: Annotated[str, Field(max_length=BECAUSE_LENGTH_MAX)] = ""
    """Why, in a sentence; empty when it said yes."""

    @property
    def passed(self) -> bool:
        """Whether it said yes."""
        return self.outcome == "Passed"


def is_allowed(url: str, prefixes: Iterable[str]) -> bool:
    """Whether an address begins as an operator allows, and stays there.

    ``..`` in a path would leave what was allowed once the address is put in order.
    """
    if not any(url.startswith(prefix) for prefix in prefixes):
        return False
    try:
        path = unquote(unquote(urlsplit(url).path)).replace("\\", "/")
    except ValueError:
        return False
    return not any(part in {".", ".."} for part in path.split("/"))
