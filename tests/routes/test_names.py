"""Names of managed routes tell whose they are, and before which route they stand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.routes import names


def test_a_name_says_owner_kind_and_label() -> None:
    name = names.named("shop/reviews", kind=names.MATCH, label="primary")

    assert name == "rollout.dev/shop/reviews/match/primary"
    assert names.owner_of(name) == "shop/reviews"


@pytest.mark.parametrize(
    "name",
    [
        *("", "primary", "rollout.dev", "rollout.dev/shop/reviews", "rollout.dev/shop/reviews/x/a"),
        *("rollout.dev//reviews/match/a", "rollout.dev/shop/reviews/match/", "x/shop/r/match/a"),
    ],
)
def test_what_people_call_a_route_is_nobodys_managed_route(name: str) -> None:
    assert names.owner_of(name) == ""


def test_a_route_without_a_name_or_with_one_that_others_have_is_called_by_its_place() -> None:
    found = names.labels(["primary", "", "twice", "twice", "http-0"])

    assert found == ("primary", "http-1", "http-2", "http-3", "http-4")


def test_a_long_name_is_cut_and_stays_its_own() -> None:
    one, other = names.labels(["a" * 200, "a" * 199 + "b"])

    assert len(one) == names.LABEL_CHARACTERS_MAX
    assert one != other


@given(st.lists(st.text(max_size=70) | st.sampled_from(["http-0", "a", ""]), max_size=6))
def test_no_two_labels_are_alike_and_a_name_with_one_is_always_known_again(
    routes: list[str],
) -> None:
    found = names.labels(routes)

    assert len(set(found)) == len(routes)
    for label in found:
        assert names.owner_of(names.named("a/b", kind=names.COPY, label=label)) == "a/b"
