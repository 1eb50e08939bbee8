"""Objects as programs read them."""

from __future__ import annotations

import json

import yaml

from rollout.api.meta import ROLLOUT
from rollout.views import documents
from tests.views.samples import PROGRESSING, manifest


def test_an_object_says_what_it_is_even_where_the_server_left_it_out() -> None:
    bare = manifest(PROGRESSING)
    del bare["apiVersion"], bare["kind"]

    shown = documents.presented(bare, ROLLOUT)

    assert list(shown) == ["apiVersion", "kind", "metadata", "spec", "status"]
    assert shown["kind"] == "Rollout"


def test_the_managed_fields_are_left_out() -> None:
    shown = documents.presented(manifest(managedFields=[{"manager": "kubectl"}]), ROLLOUT)

    assert "managedFields" not in shown["metadata"]


def test_several_objects_are_one_list() -> None:
    listing = documents.listing([manifest(), manifest(name="ratings")], ROLLOUT)

    assert (listing["kind"], len(listing["items"])) == ("List", 2)


def test_json_and_yaml_give_back_what_was_put_in() -> None:
    document = manifest(PROGRESSING)

    assert json.loads(documents.as_json(document)) == document
    assert yaml.safe_load(documents.as_yaml(document)) == document


def test_json_in_one_line_is_one_line() -> None:
    assert documents.as_json_line({"a": ["ä", 1]}) == '{"a":["ä",1]}\n'
