"""Schemas of the embedded API server: pruning, defaults, and two judges that must agree."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.sandbox.apiserver import definitions, judge, quick
from rollout.sandbox.apiserver.judge import Judge
from rollout.sandbox.apiserver.schema import Shaper
from tests.sandbox.apiserver_samples import SCHEMA, crd

Json = dict[str, Any]

_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 102),
    st.floats(-1, 101, allow_nan=False),
    st.sampled_from(["", "a", "Fast", "Slow", "True", "2026-01-01T00:00:00Z", "123456789"]),
)
_STEPS = st.lists(
    st.one_of(
        _SCALARS,
        st.dictionaries(st.sampled_from(["weight", "hold", "port", "other"]), _SCALARS),
    ),
    max_size=4,
)
_KEYS = list(SCHEMA["properties"]["spec"]["properties"])
_SPECS = st.dictionaries(
    st.sampled_from(_KEYS),
    st.one_of(
        _SCALARS,
        _STEPS,
        st.lists(_SCALARS, max_size=3),
        st.dictionaries(st.sampled_from(["a", "seconds"]), _SCALARS, max_size=2),
    ),
)


@given(_SPECS)
def test_whatever_the_quick_checker_passes_jsonschema_passes_too(spec: Json) -> None:
    body = {"metadata": {"name": "a"}, "spec": spec}
    plain = judge.translated(SCHEMA)
    surely_valid = quick.compiled(plain)(body, None)

    causes = list(judge._Judge(plain).iter_errors(body))

    assert not (surely_valid and causes)


@given(_SPECS)
def test_shaping_twice_is_shaping_once(spec: Json) -> None:
    shaper = Shaper(SCHEMA)
    once = shaper.shape({"metadata": {}, "spec": spec}, None, [])

    twice = shaper.shape(once, None, [])

    assert twice == once


def test_ordinary_objects_never_reach_the_slow_judge() -> None:
    body = {
        "metadata": {"name": "a"},
        "spec": {
            "host": "h",
            "mode": "Fast",
            "steps": [{"weight": 1, "port": "http"}],
            "until": "2026-01-01T00:00:00.5+01:00",
            "free": {"x": [1, {"y": None}]},
        },
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    }

    assert quick.compiled(judge.translated(SCHEMA))(body, None)


def test_unknown_fields_are_pruned_named_and_the_rest_is_shared() -> None:
    labels = {"a": "b"}
    spec = {"host": "h", "labels": labels, "bogus": 1}
    body = {"metadata": {}, "spec": spec, "more": 2}
    unknown: list[str] = []

    shaped = Shaper(SCHEMA).shape(body, None, unknown)

    assert unknown == ["spec.bogus", "more"]
    assert "bogus" not in shaped["spec"]
    assert shaped["spec"]["labels"] is labels
    assert spec["bogus"] == 1


def test_an_old_sin_is_forgiven_until_it_is_touched() -> None:
    before = {"metadata": {}, "spec": {"host": "h", "mode": "Odd"}}
    beside = {"metadata": {}, "spec": {"host": "other", "mode": "Odd"}}
    touched = {"metadata": {}, "spec": {"host": "h", "mode": "Odder"}}
    tested = Judge(SCHEMA)

    assert tested.causes(beside, before) == []
    assert [one.field for one in tested.causes(touched, before)] == ["spec.mode"]


def test_rules_that_are_not_evaluated_are_said_to_be_unchecked_when_the_schema_fails() -> None:
    schema = {**SCHEMA, "x-kubernetes-validations": [{"rule": "true"}]}

    causes = Judge(schema).causes({"metadata": {}, "spec": {}}, None)

    assert [one.field for one in causes] == ["spec.host", "<nil>"]


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ("10m", True),
        ("1h30m", True),
        ("1d", True),
        ("P1D", True),
        ("0", True),
        ("ten", False),
        ("1", False),
        ("", False),
    ],
)
def test_durations_are_those_that_kubernetes_takes(text: str, valid: bool) -> None:
    schema = {"type": "object", "properties": {"d": {"type": "string", "format": "duration"}}}

    assert (Judge(schema).causes({"metadata": {}, "d": text}, None) == []) is valid


def test_a_date_time_needs_a_zone() -> None:
    schema = {"type": "object", "properties": {"t": {"type": "string", "format": "date-time"}}}

    causes = Judge(schema).causes({"metadata": {}, "t": "2026-01-01T00:00:00"}, None)

    assert causes[0].message == (
        'Invalid value: "2026-01-01T00:00:00": t in body must be of type date-time: '
        '"2026-01-01T00:00:00"'
    )


# --- definitions


def _with_schema(extra: Json) -> Json:
    definition = crd()
    version = definition["spec"]["versions"][0]
    version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["new"] = extra
    return definition


@pytest.mark.parametrize(
    ("extra", "field"),
    [
        ({"$ref": "#/x"}, "properties[new].$ref"),
        ({"description": "no type"}, "properties[new].type"),
        ({"type": "array"}, "properties[new].items"),
        ({"type": "null"}, "properties[new].type"),
        (
            {"type": "object", "properties": {}, "additionalProperties": False},
            "properties[new].additionalProperties",
        ),
        ({"type": "string", "anyOf": [{"type": "string"}]}, "properties[new].anyOf[0].type"),
    ],
)
def test_a_schema_that_is_not_structural_is_refused_with_its_place(extra: Json, field: str) -> None:
    fields = [one.field for one in definitions.causes(_with_schema(extra))]

    assert any(one.endswith(field) for one in fields), fields


def test_a_sound_definition_has_no_faults_and_gets_its_conditions() -> None:
    assert definitions.causes(crd()) == []

    filled = definitions.completed(crd(), "2026-01-01T00:00:00Z")

    conditions = {one["type"]: one["status"] for one in filled["status"]["conditions"]}
    assert conditions == {"NamesAccepted": "True", "Established": "True"}
    assert filled["status"]["storedVersions"] == ["v1"]


def test_a_definition_must_be_named_after_its_plural_and_group() -> None:
    definition = crd()
    definition["metadata"]["name"] = "other"

    fields = [one.field for one in definitions.causes(definition)]

    assert fields == ["metadata.name"]


def test_dropped_keywords_are_warned_of() -> None:
    warnings = definitions.warnings(_with_schema({"type": "string", "const": "x"}))

    assert len(warnings) == 1
    assert warnings[0].endswith('properties[new].const"')
