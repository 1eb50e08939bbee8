"""How one run stands to its proxies, look by look; who has it, who is in the way, who is named."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rollout.api.traffic import Propagation, Spread
from rollout.controller.nonces import Nonced
from rollout.controller.waiting import (
    STEADY_SECONDS,
    UNCHANGED_SECONDS,
    UNNAMED_SECONDS,
    WAITING,
    Wait,
)
from rollout.ports import Nonces, Proxy, XdsType

RDS = XdsType.RDS
FLOOR_SECONDS = 1.0

Said = tuple[str, str] | tuple[str, str, str]


def waits(**fields: Any) -> Wait:
    given: dict[str, Any] = {
        "about": ("weight", 1, 10),
        "percent": 10,
        "types": frozenset({RDS}),
        "proving": frozenset({RDS}),
        "since_seconds": 0.0,
        "written_seconds": 0.0,
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
    kind: XdsType = RDS

    def at(
        self, now: float, began: Mapping[str, float] | None = None, /, **routes: Said
    ) -> Propagation:
        """What each proxy was sent and took, and perhaps why not, at a moment.

        And when the pushes of nonces began, if istiod tells; it does so to the second.
        """
        ages = {nonce: float(int(now) - int(at)) for nonce, at in (began or {}).items()}
        proxies = [
            Proxy(
                name=name,
                nonces={
                    self.kind: Nonces(
                        sent=sent,
                        acked=acked,
                        error="".join(words),
                        sent_age_seconds=ages.get(sent),
                        acked_age_seconds=ages.get(acked),
                    )
                },
            )
            for name, (sent, acked, *words) in routes.items()
        ]
        self.nonced.learn(proxies, now=now)
        self.wait.known = self.wait.judge(self.nonced)
        return self.wait.known


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


def test_who_connects_again_and_is_given_what_there_was_before_the_write_proves_nothing() -> None:
    began = {"0": 95.0, "1": 95.0}
    looks = Looks(wait=waits(since_seconds=100.0, written_seconds=100.0))
    looks.at(100, began, a=("0", "0"), b=("0", "0"))

    found = [looks.at(now, began, a=("1", "1"), b=("0", "0")) for now in (101, 105, 109)]
    assert {one.spread for one in found} == {Spread.PENDING}

    found = [looks.at(now, began, a=("1", "1"), b=("0", "0")) for now in (110, 111)]
    assert found[-1].spread is Spread.UNKNOWN


def test_a_push_that_began_about_as_the_write_was_made_is_believed_when_nothing_follows() -> None:
    began = {"0": 95.0, "1": 100.1}
    looks = Looks(wait=waits(since_seconds=100.0, written_seconds=100.0))
    looks.at(100, began, a=("0", "0"))

    assert looks.at(100.2, began, a=("1", "1")).spread is Spread.PENDING
    assert looks.at(100.4, began, a=("1", "1")).spread is Spread.DONE


def test_one_that_began_later_is_proof_though_nobody_knows_what_there_was_before() -> None:
    for at, spread in ((100.5, Spread.PENDING), (102.0, Spread.DONE)):
        looks = Looks(wait=waits(since_seconds=100.0, written_seconds=100.0))
        found = [looks.at(now, {"7": at}, a=("7", "7")) for now in (102.2, 102.9)]

        assert found[-1].spread is spread


def test_a_mesh_that_never_rests_is_believed_by_when_pushes_began_where_that_is_told() -> None:
    began = {str(n): 100 + n / 10 for n in range(100)}
    looks = Looks(wait=waits(since_seconds=100.0, written_seconds=100.0))
    spreads = {}
    for n in range(1, 40):
        took = looks.at(100 + n / 10, began, a=(str(n), str(n - 1)), b=(str(n), str(n - 1)))
        spreads[n] = took.spread
        if took.spread is Spread.DONE:
            break

    assert 12 <= max(spreads) <= 32


def test_where_istiod_does_not_tell_when_pushes_began_nothing_is_believed_before_a_while() -> None:
    looks = Looks()
    looks.at(0, a=("0", "0"), b=("0", "0"))
    looks.at(0.2, a=("1", "1"), b=("0", "0"))

    assert looks.at(0.9, a=("1", "1"), b=("0", "0")).spread is Spread.PENDING
    assert looks.at(FLOOR_SECONDS, a=("1", "1"), b=("0", "0")).spread is Spread.DONE


def test_one_that_flips_between_rejecting_and_being_late_stays_named_as_it_was() -> None:
    looks = Looks()
    looks.at(0, a=("0", "0"))
    found = set()
    for n in range(1, 300):
        said = ("1", "0", "no") if n % 2 else ("1", "0")
        found.add(looks.at(n / 10, a=said).message)

    assert found == {"a has rejected RDS: no"}


def test_who_was_in_the_way_is_named_until_he_has_not_been_for_a_while() -> None:
    looks = Looks(wait=waits(floor_seconds=60.0))
    looks.at(0, a=("0", "0"), b=("0", "0"))
    looks.at(1, a=("1", "0", "no"), b=("1", "0"))

    told = [looks.at(1 + n, a=("2", "2"), b=(f"{n + 1}", f"{n}")).message for n in range(1, 12)]

    kept = round(STEADY_SECONDS) - 1
    assert told == ["a has rejected RDS: no"] * kept + [WAITING] * (11 - kept)
    assert looks.at(13, a=("2", "2"), b=("12", "12")).spread is Spread.DONE


def test_a_new_subset_is_not_inferred_before_the_settle_time_from_a_push_of_the_same_time() -> None:
    began = {"0": 60.0, "1": 99.6}
    subset = waits(
        since_seconds=100.0,
        written_seconds=100.0,
        floor_seconds=5.0,
        types=frozenset({XdsType.CDS}),
        proving=frozenset({XdsType.CDS}),
    )
    looks = Looks(wait=subset, kind=XdsType.CDS)
    looks.at(100, began, a=("0", "0"))

    found = {n: looks.at(100 + n / 10, began, a=("1", "1")).spread for n in range(1, 52)}

    assert found[49] is Spread.PENDING
    assert found[51] is Spread.DONE
