"""How one run stands to its proxies, look by look; who has it, who is in the way, who is named."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rollout.api.traffic import Propagation, Spread
from rollout.controller.nonces import Nonced
from rollout.controller.waiting import UNCHANGED_SECONDS, UNNAMED_SECONDS, WAITING, Wait
from rollout.ports import Nonces, Proxy, XdsType

RDS = XdsType.RDS
FLOOR_SECONDS = 1.0

Said = tuple[str, str] | tuple[str, str, str]


def waits(**fields: Any) -> Wait:
    given: dict[str, Any] = {
        "about": ("weight", 1, 10),
        "percent": 10,
        "types": frozenset({RDS}),
        "since_seconds": 0.0,
        "bound_seconds": UNCHANGED_SECONDS,
        "floor_seconds": FLOOR_SECONDS,
        "known": Propagation(spread=Spread.PENDING, percent=10, message=WAITING),
    }
    return Wait(**given | fields)


@dataclass(kw_only=True)
class Looks:
    """One look after the other at routes."""

    wait: Wait = field(default_factory=waits)
    nonced: Nonced = field(default_factory=Nonced)

    def at(self, now: float, **routes: Said) -> Propagation:
        """What each proxy was sent and took, and perhaps why not, at a moment."""
        proxies = [
            Proxy(name=name, nonces={RDS: Nonces(sent=sent, acked=acked, error="".join(words))})
            for name, (sent, acked, *words) in routes.items()
        ]
        self.nonced.learn(proxies, now=now)
        return self.wait.judge(self.nonced)


def test_who_has_taken_what_was_sent_later_has_it_whatever_is_under_way_to_it() -> None:
    looks = Looks()
    looks.at(0, a=("0", "0"), b=("0", "0"))
    looks.at(0.2, a=("1", "0"), b=("1", "1"))
    assert looks.at(1.2, a=("2", "1"), b=("2", "1")).spread is Spread.PENDING
    looks.at(1.3, a=("3", "2"), b=("3", "2"))

    found = looks.at(1.4, a=("4", "3"), b=("4", "3"))

    assert found.spread is Spread.DONE


def test_what_was_sent_with_the_first_change_is_not_yet_taken_for_the_write() -> None:
    looks = Looks(wait=waits(floor_seconds=0.0))
    looks.at(0, a=("0", "0"))
    looks.at(0.1, a=("1", "0"))

    assert looks.at(0.2, a=("2", "1")).spread is Spread.PENDING


def test_a_proxy_that_has_just_connected_is_in_the_way_when_two_looks_find_it_so() -> None:
    for moments, spread in (((10.2,), Spread.DONE), ((10.1, 10.2), Spread.PENDING)):
        looks = Looks()
        looks.at(0, a=("0", "0"))
        looks.at(0.1, a=("1", "1"))
        found = [looks.at(now, a=("1", "1"), b=("1", "")) for now in moments]

        assert found[-1].spread is spread


def test_after_long_whoever_is_late_is_named_though_each_connects_again_before_it_is_silent() -> (
    None
):
    looks = Looks()
    looks.at(0, a=("0", "0"), b=("0", "0"))
    now, found = 0.0, looks.wait.known
    while now < UNNAMED_SECONDS:
        now += 1
        found = looks.at(now, **({"a": (f"a{now}", "")} if now % 2 else {"b": (f"b{now}", "")}))
        assert found.hindered == (now >= UNNAMED_SECONDS)

    assert found.spread is Spread.PENDING
    assert found.message == "a has yet to acknowledge RDS"


def test_a_proxy_behind_on_a_subset_of_old_has_it_with_the_next_thing_that_it_takes() -> None:
    looks = Looks(wait=waits(is_old=True, percent=None))

    assert looks.at(0, a=("5", "4")).spread is Spread.PENDING
    assert looks.at(1, a=("6", "4")).spread is Spread.PENDING
    assert looks.at(2, a=("7", "6")).spread is Spread.DONE
