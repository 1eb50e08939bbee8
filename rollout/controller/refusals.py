"""What may not be written, so that it is not tried at each look."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rollout.api.meta import DESTINATION_RULE, VIRTUAL_SERVICE, Key, Kind
from rollout.api.traffic import Problem
from rollout.controller.world import World
from rollout.engine.decision import Weights

WRITE_DENIED = "WriteDenied"


@dataclass(frozen=True, slots=True, kw_only=True)
class Denial:
    """What an admission webhook, a policy or our own reading of an object has refused.

    Attributes:
        kind: of the object of Istio's.
        version: of that object; another one is worth another try. Empty: of none.
        weights: what was to be written; anything else is worth another try.
        policies: what was to stand on a subset; something else is worth another try.
        until: when the same is tried again although nothing has changed.
        message: what was said.
    """

    kind: Kind = VIRTUAL_SERVICE
    version: str = ""
    weights: Weights | None = None
    policies: Mapping[str, Any] | None = None
    until: datetime
    message: str


class Refusals:
    """Remembers denials, per Rollout and object.

    Args:
        world: says which version an object has now.
    """

    def __init__(self, world: World) -> None:
        self._caches = {
            VIRTUAL_SERVICE: world.virtual_services,
            DESTINATION_RULE: world.destination_rules,
        }
        self._denied: dict[Key, dict[tuple[Kind, Key | None], Denial]] = {}

    def deny(self, key: Key, target: Key | None, denial: Denial) -> None:
        """Remember what was refused about an object, or (None) about the Rollout itself."""
        self._denied.setdefault(key, {})[denial.kind, target] = denial

    def denial(self, key: Key, target: Key | None, *, now: datetime, kind: Kind) -> Denial | None:
        """What was refused and would be again; what is worth another try is forgotten."""
        known = self._denied.get(key, {}).get((kind, target))
        if known is None:
            return None
        cached = self._caches[kind].get(target) if target is not None else None
        version = cached["metadata"].get("resourceVersion", "") if cached else ""
        if now < known.until and known.version == version:
            return known
        del self._denied[key][kind, target]
        return None

    def all_of(self, key: Key, *, now: datetime) -> list[Denial]:
        """All that was refused for a Rollout and would be again."""
        targets = tuple(self._denied.get(key, ()))
        found = (self.denial(key, target, now=now, kind=kind) for kind, target in targets)
        return [known for known in found if known is not None]

    def problems(self, key: Key, *, now: datetime, kind: Kind) -> tuple[Problem, ...]:
        """What was refused about one kind of object, or for it, as the engine is told."""
        denied = self.all_of(key, now=now)
        found = (known for known in denied if known.kind is kind)
        return tuple(Problem(reason=WRITE_DENIED, message=known.message) for known in found)

    def forget_run(self, key: Key) -> None:
        """The run is over. That the Rollout may not be held is so before one begins."""
        refused = self._denied.pop(key, {})
        kept = {place: denial for place, denial in refused.items() if place[1] is None}
        if kept:
            self._denied[key] = kept

    def forget(self, key: Key) -> None:
        """The Rollout is gone."""
        self._denied.pop(key, None)
