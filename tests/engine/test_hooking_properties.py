"""Nothing passes a webhook that has not passed, whatever happens meanwhile."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rollout.api.action import Verb
from tests.world.engine_hooks import HOOKS_SAY, asking
from tests.world.engine_world import PASS, WRITES, World, always, spec_of

pytestmark = pytest.mark.timeout(120)

CALM = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def perform(world: World, kind: str, *rest: Any) -> None:
    match kind:
        case "wait":
            world.after(*rest)
        case "hooks":
            world.hook_says = dict(*rest)
        case "command" if world.status.run is not None:
            world.give(*rest)
        case "crash":
            world.reconcile(lose=rest[0])
        case "ready":
            world.ready["v2"] = rest[0]
        case _:
            pass


MOVES = st.one_of(
    st.tuples(st.just("wait"), st.sampled_from([31.0, 120.0])),
    st.tuples(st.just("hooks"), HOOKS_SAY),
    st.tuples(st.just("command"), st.sampled_from([Verb.PROMOTE, Verb.PROMOTE_FULL])),
    st.tuples(st.just("crash"), st.sampled_from(WRITES)),
    st.tuples(st.just("ready"), st.integers(0, 1)),
)


@CALM
@given(
    hooks=st.tuples(asking("hook-0"), asking("hook-1")),
    says=HOOKS_SAY,
    moves=st.lists(MOVES, min_size=3, max_size=12),
)
def test_whatever_happens_nothing_passes_a_webhook_that_has_not_passed(
    hooks: tuple[dict[str, Any], ...], says: dict[str, bool | None], moves: list[tuple[Any, ...]]
) -> None:
    """The rule itself is checked at every look of the world; so is what is asked, and of whom."""
    world = World(spec=spec_of(webhooks=list(hooks)), says=always(PASS), hook_says=says).settle()
    for move in moves:
        perform(world, *move)
        world.settle()

    passed = {name for name in ("hook-0", "hook-1") if says.get(name, True)}
    sure = [h for h in hooks if h["point"] == "BeforeFirstTraffic" and h["failure"] != "Ignore"]
    if not any(kind == "hooks" for kind, *_ in moves) and any(
        h["name"] not in passed for h in sure
    ):
        assert all(weight == 0 for _, weight in world.ladder())
