"""Careful access to manifests that somebody else wrote."""

from __future__ import annotations

import pytest

from rollout.base.errors import BadManifest
from rollout.routes import fields

PLACE = fields.Place(subject="VirtualService a/b", path="spec")


def test_a_field_within_a_field_is_named_as_people_name_it() -> None:
    assert PLACE.at("http").at(2).at("route").path == "spec.http[2].route"


def test_a_wrong_field_is_told_with_object_field_and_remedy() -> None:
    with pytest.raises(BadManifest) as caught:
        PLACE.at("http").items("no list")

    assert str(caught.value) == "VirtualService a/b: spec.http is 'no list'; make it a list"


def test_a_missing_field_is_called_missing() -> None:
    with pytest.raises(BadManifest, match="spec is missing; make it an object"):
        PLACE.mapping(None)


def test_a_very_long_value_is_cut_in_sentences() -> None:
    assert len(fields.shown("x" * 10_000)) < 100


@pytest.mark.parametrize("value", ["", None, 3])
def test_a_word_must_have_letters(value: object) -> None:
    with pytest.raises(BadManifest):
        PLACE.word(value)


def test_what_may_be_absent_may_be_absent() -> None:
    assert PLACE.optional_mapping(None) == {}
    assert PLACE.items(None) == ()
    assert not PLACE.optional_word(None)
    assert PLACE.optional_word("v1") == "v1"
    assert PLACE.optional_mapping({"a": 1}) == {"a": 1}
    with pytest.raises(BadManifest):
        PLACE.optional_word(3)


def test_digging_ends_where_nothing_is() -> None:
    assert fields.dig({"a": {"b": 1}}, "a", "b") == 1
    assert fields.dig({"a": [1]}, "a", "b", "c") is None


def test_an_object_without_a_namespace_is_in_the_one_that_was_asked_about() -> None:
    found = fields.meta({"metadata": {"name": "reviews"}}, namespace="bookinfo")

    assert str(found) == "bookinfo/reviews"
    assert not found.resource_version


def test_a_host_is_spoken_of_as_it_is_written_in_its_namespace() -> None:
    full = "reviews.bookinfo.svc.cluster.local"

    assert fields.spoken_host(full, namespace="bookinfo") == "reviews"
    assert fields.spoken_host(full, namespace="shop") == full


def test_a_long_list_of_names_is_cut_and_counted() -> None:
    assert fields.listed(["a", "b"]) == "a, b"
    assert fields.listed(f"n{i}" for i in range(10)) == "n0, n1, n2, n3, n4, n5, n6, n7 and 2 more"
