"""What the demo reads off the world."""

from __future__ import annotations

from rollout.wiring.demo_record import shares_of


def test_shares_are_percents_of_the_first_route_whatever_the_total() -> None:
    legs = [
        {"destination": {"host": "reviews", "subset": "v1"}, "weight": 950},
        {"destination": {"host": "reviews", "subset": "v2"}, "weight": 50},
        {"destination": {"host": "reviews", "subset": "v3"}},
    ]

    shares = shares_of({"spec": {"http": [{"route": legs}]}})

    assert shares == {"v1": 95.0, "v2": 5.0, "v3": 0.0}


def test_a_route_without_weights_has_no_shares() -> None:
    legs = [{"destination": {"host": "reviews", "subset": "v1"}}]

    assert shares_of({"spec": {"http": [{"route": legs}]}}) == {"v1": 0.0}
