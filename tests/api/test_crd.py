"""CRDs: structural, described, bounded, and of one mind with the models."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import Field

from rollout.api import crd, reading
from rollout.api.action import ActionSpec, ActionStatus
from rollout.api.meta import Manifest, Model
from rollout.api.policy import PolicySpec
from rollout.api.rollout import RolloutSpec
from rollout.api.status import RolloutStatus
from rollout.api.step import STEP_KINDS
from rollout.base.errors import BadManifest
from rollout.sandbox.apiserver import definitions, formats
from tests.world.documents import documents, strict, tampered

APPLY_LIMIT_BYTES = 262_144
"""What ``kubectl apply`` can keep in an annotation."""

AIM_BYTES = 100_000

CRDS = {document["metadata"]["name"]: document for document in crd.crds()}
MODELS: dict[str, type[Model]] = {
    "RolloutSpec": RolloutSpec,
    "RolloutStatus": RolloutStatus,
    "ActionSpec": ActionSpec,
    "ActionStatus": ActionStatus,
    "PolicySpec": PolicySpec,
}
SCHEMAS = {name: crd.schema(model) for name, model in MODELS.items()}
VALIDATORS = {
    name: jsonschema.Draft202012Validator(strict(schema), format_checker=formats.CHECKER)
    for name, schema in SCHEMAS.items()
}
ALLOWED_WORDS = frozenset(
    {
        *("type", "description", "properties", "required", "items", "additionalProperties"),
        *("enum", "format", "pattern", "minimum", "maximum", "minLength", "maxLength"),
        *("minItems", "maxItems", "maxProperties", "x-kubernetes-validations"),
        *("x-kubernetes-list-type", "x-kubernetes-list-map-keys"),
    }
)

pytestmark = pytest.mark.timeout(90)  # a status has many fields, and each may be anything

SLOW = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def root_of(document: Manifest) -> dict[str, Any]:
    root: dict[str, Any] = document["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return root


def is_number_or_word(node: Mapping[str, Any]) -> bool:
    """Either a number or one word: a schema with no type, whose bounds speak of each."""
    wanted = {"x-kubernetes-preserve-unknown-fields", "minimum", "maximum", "pattern"}
    return node.keys() == wanted | {"description"}


def faults(node: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """What a structural schema may not say, or our house wants said (kubernetes.md 4.1)."""
    yield from (f"{path}: {word} is refused or dropped" for word in node.keys() - ALLOWED_WORDS)
    if not isinstance(node.get("type"), str):
        yield f"{path}: no type"
    if "properties" in node and "additionalProperties" in node:
        yield f"{path}: additionalProperties beside properties"
    yield from (f"{path}: {fault}" for fault in _unbounded(node))
    if not path.endswith((".items", ".*")) and path and not node.get("description"):
        yield f"{path}: no description"
    if re.search(r"\(\?[=!<]|\\[1-9Z]", node.get("pattern", "")):
        yield f"{path}: RE2 cannot read {node['pattern']}"
    typed = {k: v for k, v in node.get("properties", {}).items() if not is_number_or_word(v)}
    for name, below in typed.items():
        yield from faults(below, f"{path}.{name}")
    for word, part in (("items", ".items"), ("additionalProperties", ".*")):
        if word in node:
            yield from faults(node[word], path + part)


def _unbounded(node: Mapping[str, Any]) -> Iterator[str]:
    if node.get("type") == "array" and not {"items", "maxItems"} <= node.keys():
        yield "an array without items or maxItems"
    if node.get("type") == "string" and not {"maxLength", "enum", "format"} & node.keys():
        yield "a string without a bound"
    if "additionalProperties" in node and "maxProperties" not in node:
        yield "a map without maxProperties"


def parts(document: Manifest) -> dict[str, Any]:
    properties: dict[str, Any] = root_of(document)["properties"]
    return {name: properties[name] for name in ("spec", "status") if name in properties}


@pytest.mark.parametrize("name", CRDS)
def test_a_schema_is_structural_and_everything_in_it_is_bounded_and_described(name: str) -> None:
    found = [
        fault for part, node in parts(CRDS[name]).items() for fault in faults(node, f".{part}")
    ]

    assert found == []


@pytest.mark.parametrize(
    ("node", "fault"),
    [
        ({"$ref": "#/$defs/Step"}, "$ref is refused"),
        ({"type": "string", "anyOf": []}, "anyOf is refused"),
        ({"type": "string", "const": 1}, "const is refused"),
        ({"type": "string", "default": None}, "default is refused"),
        ({"type": "number", "exclusiveMinimum": 0}, "exclusiveMinimum is refused"),
        ({"properties": {}, "additionalProperties": False, "type": "object"}, "beside properties"),
        ({"type": "array", "items": {"type": "integer"}}, "an array without items or maxItems"),
        ({"type": "string"}, "a string without a bound"),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, "without maxProperties"),
        ({"type": "integer"}, "no description"),
        ({"description": "words"}, "no type"),
        ({"type": "string", "maxLength": 5, "pattern": "^(?!a)"}, "RE2 cannot read"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_schema_that_is_not_structural_would_be_noticed(node: dict[str, Any], fault: str) -> None:
    checked = {k: v for k, v in node.items() if not (k == "additionalProperties" and v is False)}
    if "additionalProperties" in node and node["additionalProperties"] is False:
        checked["additionalProperties"] = {"type": "integer"}

    assert any(fault in told for told in faults(checked, ".spec.field"))


@pytest.mark.parametrize("name", CRDS)
def test_a_crd_is_small_enough_for_plain_apply(name: str) -> None:
    size_bytes = len(json.dumps(CRDS[name]))

    assert size_bytes < AIM_BYTES < APPLY_LIMIT_BYTES


@pytest.mark.parametrize("name", CRDS)
def test_the_name_of_a_crd_is_plural_and_group_and_one_version_is_stored(name: str) -> None:
    spec = CRDS[name]["spec"]

    assert name == f"{spec['names']['plural']}.{spec['group']}"
    assert [version["storage"] for version in spec["versions"]] == [True]
    # A policy has no status: nothing writes to it but people.
    has_status = "status" in root_of(CRDS[name])["properties"]
    assert spec["versions"][0].get("subresources") == ({"status": {}} if has_status else None)


@pytest.mark.parametrize("name", CRDS)
def test_printer_columns_show_fields_that_exist(name: str) -> None:
    root = root_of(CRDS[name])

    for column in CRDS[name]["spec"]["versions"][0]["additionalPrinterColumns"]:
        assert column["type"] in {"boolean", "date", "integer", "number", "string"}
        node: Any = root
        for part in column["jsonPath"].partition("[")[0].lstrip(".").split("."):
            if part == "metadata":
                break
            node = node["properties"][part]


@pytest.mark.parametrize("name", CRDS)
def test_the_sandbox_takes_a_crd_without_refusal_or_warning(name: str) -> None:
    found = definitions.causes(CRDS[name])

    assert [cause.message for cause in found] == []
    assert definitions.warnings(CRDS[name]) == []


def test_rules_in_cel_read_fields_that_exist() -> None:
    for document in CRDS.values():
        for node in _nodes(root_of(document)):
            known = node.get("items", node).get("properties", {})
            for rule in node.get("x-kubernetes-validations", ()):
                named = set(re.findall(r"(?:self|s)\.(\w+)", rule["rule"]))
                assert named - {"filter", "map", "isSorted"} <= known.keys(), rule
                assert "\n" not in rule["message"]


def _nodes(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield node
    below = [*node.get("properties", {}).values(), node.get("items")]
    below.append(node.get("additionalProperties"))
    for child in below:
        if child:
            yield from _nodes(child)


def test_a_default_is_told_in_the_description_and_left_to_the_models() -> None:
    strategy = SCHEMAS["RolloutSpec"]["properties"]["strategy"]

    assert "default" not in strategy["properties"]["bake"]
    assert strategy["properties"]["bake"]["description"].endswith("Default: 5m.")


def test_text_and_lists_without_a_bound_of_their_own_are_given_one() -> None:
    class Loose(Model):
        """A model that bounds nothing."""

        words: tuple[str, ...] = ()
        """Some words."""

    words = crd.schema(Loose)["properties"]["words"]

    assert words["maxItems"] == crd.ITEMS_MAX
    assert words["items"]["maxLength"] == crd.STRING_LENGTH_MAX


def test_a_model_with_an_exclusive_bound_is_refused_by_the_generator() -> None:
    class Open(Model):
        """A number that comes near zero and never reaches it."""

        size_bytes: Annotated[int, Field(gt=0)] = 1
        """How much."""

    with pytest.raises(AssertionError, match="exclusiveMinimum"):
        crd.schema(Open)


@pytest.mark.parametrize("name", MODELS)
@given(data=st.data())
@SLOW
def test_what_the_schema_allows_the_model_reads_and_writes_back_allowed(
    name: str, data: st.DataObject
) -> None:
    document = data.draw(documents(SCHEMAS[name]))

    model = reading.read(MODELS[name], document, at="spec")
    written = model.model_dump(mode="json", by_alias=True, exclude_none=True)

    VALIDATORS[name].validate(written)
    assert reading.read(MODELS[name], written, at="spec") == model


@pytest.mark.parametrize("name", MODELS)
@given(data=st.data())
@SLOW
def test_model_and_schema_agree_about_documents_that_were_tampered_with(
    name: str, data: st.DataObject
) -> None:
    document = data.draw(tampered(SCHEMAS[name]))

    allowed = VALIDATORS[name].is_valid(document)

    assert model_reads(MODELS[name], document) == allowed


def model_reads(model: type[Model], document: Any) -> bool:
    try:
        reading.read(model, document, at="spec")
    except BadManifest:
        return False
    return True


def test_the_rule_of_one_kind_a_step_knows_every_kind_of_step() -> None:
    schema = CRDS["rollouts.rollout.dev"]["spec"]["versions"][0]["schema"]["openAPIV3Schema"][
        "properties"
    ]["spec"]
    steps = schema["properties"]["strategy"]["properties"]["steps"]["items"]

    rule = steps["x-kubernetes-validations"][0]

    assert re.findall(r"has\(self\.(\w+)\)", rule["rule"]) == list(STEP_KINDS)
    assert all(kind in rule["message"] for kind in STEP_KINDS)
