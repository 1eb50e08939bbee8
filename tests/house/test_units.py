"""Numbers say their unit last: in fields, in arguments of our values, and in constants."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping

import pytest

from tests.house.survey import Source, classes, constants, findings, planted, sources

UNITS = frozenset(
    {"seconds", "ms", "milliseconds", "percent", "count", "ratio", "bytes", "attempts", "hertz"}
    | {"days", "hours", "bits", "length", "depth", "width", "port", "pid", "code", "status"}
)
"""Words that say what a number is counted in."""

ORDINALS = frozenset(
    {
        "step",
        "round",
        "generation",
        "sequence",
        "version",
        "index",
        "number",
        "share",
        "weight",
        "total",
    }
    | {"seed", "priority", "factor"}
)
"""Words that are their own unit: a step is a step, a weight is in percent everywhere."""

BOUNDS = re.compile(r"_(min|max|default|limit)$")

EXEMPT: Mapping[str, str] = {
    "rollout/api/gate.py::Query.min": "the unit is the query's",
    "rollout/api/gate.py::Query.max": "the unit is the query's",
    "rollout/api/gate.py::Range.low": "the unit is the query's",
    "rollout/api/gate.py::Range.high": "the unit is the query's",
    "rollout/analysis/judge/beyond.py::Bound.value": "the unit is the query's",
    "rollout/analysis/judge/beyond.py::Bound.lowest": "the unit is the query's",
    "rollout/analysis/judge/beyond.py::Bound.highest": "the unit is the query's",
    "rollout/api/evidence.py::GateVerdict.value": "the unit is the gate's",
    "rollout/analysis/gauge.py::Missing.value": "the unit is the query's",
    "rollout/analysis/gauge.py::Reading.value": "the unit is the query's",
    "rollout/analysis/judge/asymptotic.py::Blocks.mean": "the unit is the query's",
    "rollout/analysis/verdict.py::GateQuestion.min": "the unit is the query's",
    "rollout/analysis/verdict.py::GateQuestion.max": "the unit is the query's",
    "rollout/analysis/verdict.py::Context.unattributed": "requests, as the evidence calls them",
    "rollout/analysis/judge/case.py::Case.lost": "requests, as the evidence calls them",
    "rollout/analysis/judge/case.py::FAIL_BAD_MIN": "bad requests, as the evidence calls them",
    "rollout/sandbox/load.py::IN_FLIGHT_MAX": "requests",
    "rollout/sandbox/pilot/clusters.py::_UNLIMITED": "Envoy's word for no bound of any unit",
    "rollout/views/card.py::RECENT_MAX": "runs in the list of that name",
    "rollout/api/status.py::HISTORY_MAX": "runs in the list of that name",
    "rollout/engine/starting.py::RETIRABLE_MAX": "revisions in the list of that name",
    "rollout/api/notify.py::OUTBOX_MAX": "messages in the list of that name",
    "rollout/api/notify.py::Telling.id": "counts messages; a name, and no amount",
    "rollout/api/status.py::RolloutStatus.told": "the name of the newest message",
    "rollout/api/step.py::Approval.quorum": "people; the API's name for it",
    "rollout/api/step.py::Step.mirror": "percent, as a weight is; the API's name for it",
    "rollout/routes/split.py::Split.stable": "a weight; what it is of stands beside it",
    "rollout/routes/split.py::Split.canary": "a weight; what it is of stands beside it",
    "rollout/sandbox/parent.py::_PR_SET_PDEATHSIG": "a constant of the kernel",
}
"""Numbers that can have no unit, as ``path::name``, with the reason."""


def says_unit(name: str) -> bool:
    """Whether a name says what is counted: in its last word, or as a plural before ``_per_``."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower().strip("_")
    bare = BOUNDS.sub("", spaced)
    lasts = {text.rsplit("_", 1)[-1] for text in (bare, re.sub(r"_(per|at|in)_\w+$", "", bare))}
    return any(
        last in UNITS | ORDINALS or (last.endswith("s") and not last.endswith("ss"))
        for last in lasts
    )


def unit_missing(source: Source) -> Iterator[str]:
    for name, value in constants(source):
        if name == name.upper() and _is_number(value) and not says_unit(name):
            yield f"{source.path}::{name}"
    for node in classes(source):
        for child in node.body:
            if not isinstance(child, ast.AnnAssign) or not isinstance(child.target, ast.Name):
                continue
            if _counts(ast.unparse(child.annotation)) and not says_unit(child.target.id):
                yield f"{source.path}::{node.name}.{child.target.id}"


def _counts(annotation: str) -> bool:
    return re.match(r"(Annotated\[)?(int|float)\b", annotation.replace("(", "")) is not None


def _is_number(value: ast.expr) -> bool:
    if isinstance(value, ast.BinOp):
        return _is_number(value.left) and _is_number(value.right)
    return isinstance(value, ast.Constant) and type(value.value) in {int, float}


def test_numbers_say_their_unit() -> None:
    found = findings(unit_missing, sources("rollout"))

    assert sorted(set(found) - EXEMPT.keys()) == []


def test_the_list_of_exempt_numbers_only_shrinks() -> None:
    found = findings(unit_missing, sources("rollout"))

    assert sorted(EXEMPT.keys() - set(found)) == []


@pytest.mark.parametrize(
    "text",
    [
        "TIMEOUT = 5",
        "WAIT_MAX = 2 * 60.0",
        "class A:\n    timeout: float = 5",
        "class A:\n    delay: int | None = None",
        "class A:\n    size: Annotated[int, Field(ge=0)] = 0",
    ],
)
def test_a_number_without_a_unit_would_be_caught(text: str) -> None:
    assert list(unit_missing(planted(text))) != []


@pytest.mark.parametrize(
    "text",
    [
        "TIMEOUT_SECONDS = 5",
        "STEPS_MAX = 50",
        "WAIT_SECONDS_MAX = 2 * 60.0",
        "class A:\n    delay_seconds: int | None = None",
        "class A:\n    step: int = 0",
        "class A:\n    name: str = 'a'",
    ],
)
def test_a_number_with_a_unit_is_let_pass(text: str) -> None:
    assert list(unit_missing(planted(text))) == []
