"""What a policy may say, and how a mistake in it is told."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from rollout.api import reading
from rollout.api.policy import OWN_FIELDS, Part
from rollout.api.rollout import RolloutSpec
from rollout.base.errors import BadManifest


def read(text: str) -> Any:
    return reading.read_policy({"metadata": {"name": "standard"}, "spec": yaml.safe_load(text)})


def test_a_policy_can_say_all_that_is_not_about_one_service() -> None:
    assert Part.model_fields.keys() == RolloutSpec.model_fields.keys() - OWN_FIELDS


def test_whatever_a_part_does_not_say_is_absent_and_no_default() -> None:
    spec = read("{defaults: {strategy: {bake: 1h}}}")

    assert spec.defaults.strategy.bake == "1h"
    assert spec.defaults.gates is None
    assert spec.enforce == Part()


def test_a_policy_of_one_freeze_needs_nothing_else() -> None:
    spec = read("{windows: {freeze: [{until: 2027-01-02T00:00:00Z, reason: year end}]}}")

    (freeze,) = spec.windows.freeze
    assert (freeze.from_, freeze.reason) == (None, "year end")
    assert spec.applies_to == "Named"
    assert spec.limits.runs_at_once is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{defaults: {revision: v2}}", "spec.defaults.revision is not a field; known here: gates"),
        (
            "{enforce: {strategi: {}}}",
            "spec.enforce.strategi is not a field; did you mean strategy",
        ),
        ("{limits: {runsAtOnce: 0}}", "spec.limits.runsAtOnce is 0; use at least 1"),
        ("{stop: {}}", "spec.stop.reason is missing; add it"),
        ("{appliesTo: Everybody}", "spec.appliesTo is 'Everybody'; use Named or All"),
        (
            "{windows: {freeze: [{until: 2027-01-02, reason: x}]}}",
            "give it a zone, such as 2026-12-20T00:00:00Z",
        ),
        (
            "{windows: {freeze: [{until: monday, reason: x}]}}",
            "spec.windows.freeze[0].until is 'monday'; use a time such as 2026-12-20T00:00:00Z",
        ),
        (
            (
                "{windows: {freeze: [{from: 2027-01-02T00:00:00Z, until: 2026-12-20T00:00:00Z,"
                " reason: x}]}}"
            ),
            "spec.windows.freeze[0].until is 2026-12-20T00:00:00+00:00, not after from; swap",
        ),
        ("{windows: {allow: [{cron: '0 9', for: 8h}]}}", "use five parts, such as 0 9 * * mon-fri"),
        (
            "{windows: {allow: [{cron: '0 9 * * *', for: 0s}]}}",
            "allow[0].for is '0s'; use a longer",
        ),
    ],
)
def test_a_mistake_names_its_field_and_the_remedy(text: str, told: str) -> None:
    with pytest.raises(BadManifest) as caught:
        read(text)

    assert told in str(caught.value)
