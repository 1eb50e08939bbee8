"""Which phase may follow which, and why: the README's diagram is drawn from this table."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from rollout.api.phase import Phase

P = Phase

_LEAVES: Mapping[Phase, str] = {
    P.ROLLING_BACK: "abort, failing gate, deadline, new revision",
    P.BLOCKED: "something is missing",
}

_TABLE: dict[Phase, dict[Phase, str]] = {
    P.PENDING: {
        P.STABLE: "all traffic is on the wanted revision",
        P.PREPARING: "the run may start",
        P.BLOCKED: "something is missing",
        P.INVALID: "the spec is wrong",
        P.ROLLED_BACK: "the revision was taken back before",
    },
    P.STABLE: {
        P.PREPARING: "another revision is wanted",
        P.PENDING: "another revision is wanted, but may not start yet",
        P.BLOCKED: "something is missing",
        P.INVALID: "the spec is wrong",
        P.ROLLED_BACK: "the revision was taken back before",
    },
    P.PREPARING: {
        P.PROGRESSING: "subset and endpoints have settled",
        P.WAITING: "the ladder begins with a pause",
        P.PROMOTING: "the ladder begins with 100 percent, or promoted to it at once",
        P.BAKING: "the canary is back while baking",
        P.ROLLED_BACK: "taken back before traffic moved",
        P.PENDING: "another revision is wanted before traffic moved",
        P.STABLE: "the revision was set back before traffic moved",
        **_LEAVES,
    },
    P.PROGRESSING: {
        P.WAITING: "a pause, a closed window, or a failing gate that holds",
        P.PROMOTING: "the last step: 100 percent",
        **_LEAVES,
    },
    P.WAITING: {
        P.PROGRESSING: "the pause is over",
        P.PREPARING: "the canary is not ready any more",
        P.PROMOTING: "the last step: 100 percent",
        P.BAKING: "all steps are done",
        P.STABLE: "promoted, or set back before traffic moved",
        P.ROLLED_BACK: "taken back before traffic moved",
        P.PENDING: "another revision is wanted before traffic moved",
        **_LEAVES,
    },
    P.PROMOTING: {
        P.BAKING: "all steps are done",
        P.STABLE: "promoted without a bake",
        P.WAITING: "a pause, a closed window, or a failing gate that holds",
        **_LEAVES,
    },
    P.BAKING: {
        P.STABLE: "promoted",
        P.WAITING: "a pause, a closed window, or a failing gate that holds",
        **_LEAVES,
    },
    P.ROLLING_BACK: {
        P.ROLLED_BACK: "no traffic goes to the canary any more",
        P.PENDING: "taken back for another revision",
        P.STABLE: "the revision was set back",
    },
    P.ROLLED_BACK: {
        P.PREPARING: "another revision, or Retry",
        P.STABLE: "the stable revision is wanted again",
        P.PENDING: "another revision is wanted, but may not start yet",
        P.BLOCKED: "something is missing",
        P.INVALID: "the spec is wrong",
    },
    P.BLOCKED: {
        P.STABLE: "mended",
        P.PENDING: "mended, but it may not start yet",
        P.PREPARING: "mended",
        P.PROGRESSING: "mended",
        P.WAITING: "mended",
        P.PROMOTING: "mended",
        P.BAKING: "mended",
        P.ROLLING_BACK: "abort, deadline, new revision",
        P.ROLLED_BACK: "the revision was taken back before",
        P.INVALID: "the spec is wrong",
    },
    P.INVALID: {
        P.STABLE: "the spec was mended",
        P.PENDING: "the spec was mended, but it may not start yet",
        P.PREPARING: "the spec was mended",
        P.BLOCKED: "the spec was mended, something is missing",
        P.ROLLED_BACK: "the spec was mended, the revision was taken back before",
    },
}

TRANSITIONS: Mapping[Phase, Mapping[Phase, str]] = MappingProxyType(
    {source: MappingProxyType(targets) for source, targets in _TABLE.items()}
)
"""From each phase to those that may follow, with the reason. Staying is always allowed."""


def allowed(source: Phase, target: Phase) -> bool:
    """Whether ``target`` may follow ``source``."""
    return source == target or target in TRANSITIONS[source]
