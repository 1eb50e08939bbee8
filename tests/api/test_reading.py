"""Manifests become models, and what is wrong becomes one sentence that helps."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from rollout.api import reading
from rollout.api.action import Verb
from rollout.api.phase import Phase
from rollout.base.errors import BadManifest

MISTAKES = {
    "a misspelt field": (
        "{host: a, revision: v2, strategy: {steps: [{wieght: 5}]}}",
        "spec.strategy.steps[0].wieght is not a field; did you mean weight?",
    ),
    "a misspelt field that hides a needed one": (
        "{hots: a, revision: v2}",
        "spec.hots is not a field; did you mean host?",
    ),
    "snake case": (
        "{host: a, revision: v2, judge: {min_requests: 5}}",
        "spec.judge.min_requests is not a field; did you mean minRequests?",
    ),
    "a field that belongs to nobody": (
        "{host: a, revision: v2, judge: {zzz: 5}}",
        (
            "spec.judge.zzz is not a field; known here: falsePromotePercent, falseRollbackPercent, "
            "maxInterval, metricsOutageDeadline, minRequests, noDataDeadline, onMetricsOutage, "
            "onNoData, provenRatio"
        ),
    ),
    "a missing host": ("{revision: v2}", "spec.host is missing; add it"),
    "a bad duration": (
        "{host: a, revision: v2, strategy: {bake: 1mfoo}}",
        "spec.strategy.bake is '1mfoo'; use a duration such as 90s, 10m or 1h30m",
    ),
    "a duration without a unit": (
        "{host: a, revision: v2, strategy: {steps: [{weight: 5, hold: '5'}]}}",
        "spec.strategy.steps[0].hold is '5'; use a duration such as 90s, 10m or 1h30m",
    ),
    "a duration that is a number": (
        "{host: a, revision: v2, strategy: {bake: 60}}",
        "spec.strategy.bake is 60; use text; put it in quotes",
    ),
    "more than all traffic": (
        "{host: a, revision: v2, strategy: {steps: [{weight: 101}]}}",
        "spec.strategy.steps[0].weight is 101; use at most 100",
    ),
    "no traffic as a step": (
        "{host: a, revision: v2, strategy: {steps: [{weight: 0}]}}",
        "spec.strategy.steps[0].weight is 0; use at least 0.01",
    ),
    "a weight in quotes": (
        "{host: a, revision: v2, strategy: {steps: [{weight: '5'}]}}",
        "spec.strategy.steps[0].weight is '5'; use a number",
    ),
    "a falling ladder": (
        "{host: a, revision: v2, strategy: {steps: [{weight: 10}, {weight: 5}]}}",
        (
            "spec.strategy.steps[1].weight is 5 after 10; "
            "weights must rise along the ladder: use more than 10"
        ),
    ),
    "two kinds in a step": (
        "{host: a, revision: v2, strategy: {steps: [{weight: 10, pause: {}}]}}",
        (
            "spec.strategy.steps[0] has 2 kinds (weight, pause); "
            "keep one of weight and pause, or make them steps of their own"
        ),
    ),
    "a query without a bound": (
        "{host: a, revision: v2, gates: [{name: q, query: {promql: up}}]}",
        "spec.gates[0].query has no bound; give min, max or both",
    ),
    "a gate without a kind": (
        "{host: a, revision: v2, gates: [{name: q}]}",
        (
            "spec.gates[0] has no kind; "
            "give it exactly one of errorRate, latency, tcpFailures or query"
        ),
    ),
    "a gate without a name": (
        "{host: a, revision: v2, gates: [{errorRate: {maxPercent: 1}}]}",
        "spec.gates[0].name is missing; add it",
    ),
    "a check of an unknown gate": (
        "{host: a, revision: v2, strategy: {steps: [{check: {gates: [slow]}}]}}",
        "spec.strategy.steps[0].check.gates[0] names 'slow', which is no gate; use one of errors",
    ),
    "a revision that YAML reads as a number": (
        "{host: a, revision: 3}",
        "spec.revision is 3; use text; put it in quotes",
    ),
    "a revision in capitals": (
        "{host: a, revision: V3}",
        "spec.revision is 'V3'; use lower-case letters, digits and dashes",
    ),
    "a host with a wildcard": (
        "{host: '*.shop', revision: v2}",
        (
            "spec.host is '*.shop'; "
            "use the name of one service, such as reviews or reviews.shop.svc.cluster.local"
        ),
    ),
    "an empty host": ("{host: '', revision: v2}", "spec.host is ''; give it a value"),
    "a choice that is none": (
        "{host: a, revision: v2, onFailure: Abort}",
        "spec.onFailure is 'Abort'; use Rollback or Hold",
    ),
    "a list left empty": (
        "{host: a, revision: v2, gates: }",
        "spec.gates is empty; give it a value, or remove it",
    ),
    "a map where a list belongs": (
        "{host: a, revision: v2, gates: {name: errors}}",
        'spec.gates is {"name": "errors"}; use a list',
    ),
    "a word where a map belongs": (
        "{host: a, revision: v2, strategy: canary}",
        (
            "spec.strategy is 'canary'; "
            "use a map with bake, maxDuration, onDeadline, steps, undoWindow"
        ),
    ),
    "a word where truth belongs": (
        "{host: a, revision: v2, suspend: 'no'}",
        "spec.suspend is 'no'; use true or false",
    ),
    "half a request": (
        "{host: a, revision: v2, judge: {minRequests: 0.5}}",
        "spec.judge.minRequests is 0.5; use a whole number",
    ),
    "a check without gates": (
        "{host: a, revision: v2, strategy: {steps: [{check: {gates: []}}]}}",
        "spec.strategy.steps[0].check.gates is []; name at least 1",
    ),
    "a number that never ends": (
        "{host: a, revision: v2, gates: [{name: q, query: {promql: up, max: .inf}}]}",
        "spec.gates[0].query.max is Infinity; use a finite number",
    ),
    "a key that YAML reads as truth": (
        "{host: a, revision: v2, on: {}}",
        (
            "spec.true is not a field; known here: "
            "gates, guard, host, judge, metrics, notify, onFailure, policyRef, revision, strategy, "
            "suspend, traffic, webhooks, windows"
        ),
    ),
    "no spec": ("", "spec is empty; give it a value, or remove it"),
}

GARBAGE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.dates(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=8) | st.integers() | st.none(), inner, max_size=3)
    ),
    max_leaves=12,
)

FIELDS = st.sampled_from(
    ["host", "revision", "strategy", "gates", "judge", "traffic", "metrics", "onFailure", "suspend"]
)


def refusal_of(reader: Callable[[Any], object], manifest: Any) -> BadManifest | None:
    """What a reader refuses a manifest with; anything but `BadManifest` breaks the test."""
    try:
        reader(manifest)
    except BadManifest as error:
        return error
    return None


@pytest.mark.parametrize("case", MISTAKES)
def test_a_common_mistake_is_answered_with_field_and_remedy(case: str) -> None:
    text, sentence = MISTAKES[case]
    manifest = {"spec": yaml.safe_load(text)}

    with pytest.raises(BadManifest) as caught:
        reading.read_spec(manifest)

    assert str(caught.value) == sentence


def test_the_smallest_rollout_has_a_host_and_a_revision() -> None:
    spec = reading.read_spec({"spec": {"host": "reviews", "revision": "v3"}})

    assert [step.weight for step in spec.strategy.steps] == [5, 25, 50, 100]
    assert [gate.name for gate in spec.gates] == ["errors"]


def test_an_empty_object_lacks_its_host() -> None:
    with pytest.raises(BadManifest, match=r"^spec\.host is missing; add it$"):
        reading.read_spec({})


@pytest.mark.parametrize("found", [None, [], "words", 7], ids=["null", "list", "words", "number"])
def test_what_is_no_object_is_refused_by_all_readers(found: Any) -> None:
    for reader in (reading.read_spec, reading.read_status, reading.read_action):
        with pytest.raises(BadManifest, match="use a map with apiVersion, kind, metadata and spec"):
            reader(found)


@given(garbage=GARBAGE)
def test_garbage_is_refused_and_never_breaks_a_reader(garbage: Any) -> None:
    for manifest in (garbage, {"spec": garbage}, {"status": garbage}):
        for reader in (reading.read_spec, reading.read_status, reading.read_action):
            refusal = refusal_of(reader, manifest)

            assert refusal is None or "\n" not in str(refusal)


@given(field=FIELDS, garbage=GARBAGE)
def test_garbage_in_one_field_is_refused_by_the_name_of_that_field(
    field: str, garbage: Any
) -> None:
    spec = {"host": "reviews", "revision": "v3", field: garbage}

    refusal = refusal_of(reading.read_spec, {"spec": spec})

    assert refusal is None or refusal.field.startswith(f"spec.{field}")


def test_a_manifest_that_contains_itself_is_refused() -> None:
    spec: dict[str, Any] = {"host": "reviews"}
    spec["traffic"] = spec

    with pytest.raises(BadManifest, match="without references to themselves"):
        reading.read_spec({"spec": spec})


def test_a_file_that_holds_a_list_of_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    found: Any = endless

    with pytest.raises(BadManifest, match=r"^the object is something that cannot be shown;"):
        reading.read_spec(found)


@pytest.mark.parametrize("key", ["two\nlines", "x" * 10_000], ids=["lines", "length"])
def test_a_key_that_would_break_the_sentence_is_quoted_and_cut(key: str) -> None:
    with pytest.raises(BadManifest) as caught:
        reading.read_spec({"spec": {"host": "reviews", "revision": "v3", key: 1}})

    assert caught.value.field in {"spec.'two\\nlines'", "spec.'" + "x" * 56 + "..."}


@pytest.mark.parametrize(
    "value", [10**5000, "x" * 10_000, [[[]]] * 1000], ids=["number", "text", "list"]
)
def test_a_huge_value_is_cut_in_the_sentence_that_refuses_it(value: Any) -> None:
    with pytest.raises(BadManifest) as caught:
        reading.read_spec({"spec": {"host": "reviews", "revision": value}})

    assert len(str(caught.value)) < 200


def test_a_date_is_read_as_the_text_it_was_written_as() -> None:
    manifest = {"spec": {"host": "reviews", "revision": dt.date(2026, 11, 23)}}

    assert reading.read_spec(manifest).revision == "2026-11-23"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("wieght", "weight"),
        ("Weight", "weight"),
        ("weigth", "weight"),
        ("maxpercent", "maxPercent"),
        ("max_percent", "maxPercent"),
        ("zzz", None),
        ("", None),
    ],
)
def test_a_misspelt_name_finds_the_nearest_known_one(name: str, meant: str | None) -> None:
    assert reading.nearest(name, ["weight", "pause", "check", "maxPercent"]) == meant


def test_a_command_is_read_with_its_run_and_step() -> None:
    spec = {"rollout": "reviews", "run": "14", "step": 2, "verb": "Promote", "actor": "alice"}

    command = reading.read_action({"spec": spec})

    assert (command.verb, command.run, command.step) == (Verb.PROMOTE, "14", 2)


def test_an_unknown_verb_is_answered_with_the_known_ones() -> None:
    spec = {"rollout": "reviews", "run": "14", "verb": "Explode", "actor": "alice"}

    with pytest.raises(BadManifest) as caught:
        reading.read_action({"spec": spec})

    assert str(caught.value) == (
        "spec.verb is 'Explode'; use Promote, PromoteFull, Abort, Pause, Resume, Retry, Approve or"
        " Reject"
    )


@pytest.mark.parametrize("manifest", [{}, {"status": None}, {"status": {}}])
def test_an_absent_status_is_the_empty_one(manifest: dict[str, Any]) -> None:
    status = reading.read_status(manifest)

    assert status.phase is Phase.PENDING
    assert status.run is None


def test_a_status_that_is_wrong_is_refused_by_field() -> None:
    with pytest.raises(BadManifest) as caught:
        reading.read_status({"status": {"phase": "Sleeping"}})

    assert caught.value.field == "status.phase"
