"""What a schema cannot say of a spec: each broken rule is one sentence with field and remedy."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from rollout.api import query_rules
from rollout.api.gate import COUNTING_GATES_MAX, EVIDENT_QUERIES_MAX, GATE_KINDS, Gate
from rollout.api.guard import Guard
from rollout.api.match import NAME_PATTERN, TEXT_MATCH_KINDS, Match
from rollout.api.meta import Model
from rollout.api.remedies import place
from rollout.api.rollout import RolloutSpec
from rollout.api.step import STEP_KINDS, STEPS_MAX, Approval, Approvers, Step
from rollout.api.webhook import HookPoint
from rollout.api.window import Windows
from rollout.base.errors import BadManifest, BadQuantity
from rollout.base.quantity import decimal_of, parse_duration


def check(spec: RolloutSpec) -> None:
    """Refuse a spec that its types allow and its meaning does not.

    Raises:
        BadManifest: for the first broken rule, in the order in which a person reads the spec.
    """
    for rule in _RULES:
        for problem in rule(spec):
            raise problem


def _wrong(field: str, problem: str, remedy: str) -> BadManifest:
    return BadManifest(field=field, problem=problem, remedy=remedy)


def _given(model: Model, kinds: tuple[str, ...]) -> list[str]:
    """The outside names of those fields that are set."""
    fields = type(model).model_fields
    return [fields[kind].alias or kind for kind in kinds if getattr(model, kind) is not None]


def _names(kinds: tuple[str, ...], model: type[Model]) -> str:
    names = [model.model_fields[kind].alias or kind for kind in kinds]
    return ", ".join(names[:-1]) + " or " + names[-1]


def _one_kind(path: str, model: Model, kinds: tuple[str, ...]) -> Iterator[BadManifest]:
    given = _given(model, kinds)
    if len(given) > 1:
        remedy = f"keep one of {' and '.join(given)}"
        if "weight" in given:
            remedy += ", or make them steps of their own"
        yield _wrong(path, f"has {len(given)} kinds ({', '.join(given)})", remedy)
    if not given:
        yield _wrong(path, "has no kind", f"give it exactly one of {_names(kinds, type(model))}")


def _steps_have_one_kind(spec: RolloutSpec) -> Iterator[BadManifest]:
    for i, step in enumerate(spec.strategy.steps):
        path = f"spec.strategy.steps[{i}]"
        yield from _one_kind(path, step, STEP_KINDS)
        others = step.pause or step.check or step.ramp or step.approval
        if step.hold is not None and others is not None:
            problem = "goes with weight, match or mirror"
            remedy = "use `for` in pause or check, and minHold in ramp"
            yield _wrong(f"{path}.hold", problem, remedy)
        if step.match is not None:
            yield from _match_can_be_made(f"{path}.match", step.match)
        if step.approval is not None:
            yield from _people_can_approve(f"{path}.approval", step.approval)


def _people_can_approve(path: str, approval: Approval) -> Iterator[BadManifest]:
    who = approval.approvers
    if who == Approvers():
        remedy = "name some under users, groups, slackUsers or slackGroups"
        yield _wrong(f"{path}.approvers", "names nobody, so nobody could", remedy)
        return
    most = max(len(set(who.users)), len(set(who.slack_users)))
    if not who.groups and not who.slack_groups and approval.quorum > most:
        problem = f"is {approval.quorum}, and approvers names {most}"
        remedy = "name more of one kind, since one person may have a name of each"
        yield _wrong(f"{path}.quorum", problem, remedy)


def _match_can_be_made(path: str, match: Match) -> Iterator[BadManifest]:
    named = [("headers", name, text) for name, text in match.headers.items()]
    named += [("cookies", name, text) for name, text in match.cookies.items()]
    for part, name, text in named:
        if not re.fullmatch(NAME_PATTERN, name):
            remedy = "use letters, digits, dashes, dots and underscores, such as x-canary"
            yield _wrong(f"{path}.{part}{place(name)}", "is no name", remedy)
        yield from _one_kind(f"{path}.{part}.{name}", text, TEXT_MATCH_KINDS)
    lowered = [name.lower() for name in match.headers]
    twice = next((name for name in match.headers if lowered.count(name.lower()) > 1), None)
    if twice is not None:
        problem = "is there twice, since headers have no case"
        yield _wrong(f"{path}.headers.{twice}", problem, "keep one of the two")
    if match.cookies and "cookie" in lowered:
        problem = "stands beside cookies, which are compared in the same header"
        yield _wrong(f"{path}.headers.cookie", problem, "keep one of the two")


def _matches_end_what_began(spec: RolloutSpec) -> Iterator[BadManifest]:
    is_on = False
    for i, step in enumerate(spec.strategy.steps):
        if step.match is None:
            continue
        if step.match == Match() and not is_on:
            problem = "ends a match, and none is on"
            remedy = "name headers or cookies, or remove this step"
            yield _wrong(f"spec.strategy.steps[{i}].match", problem, remedy)
        is_on = step.match != Match()


def _nothing_is_tried_at_full_weight(spec: RolloutSpec) -> Iterator[BadManifest]:
    is_full = False
    for i, step in enumerate(spec.strategy.steps):
        is_full = is_full or step.weight == 100
        kind = "mirror" if step.mirror is not None else "match" if step.match else ""
        if is_full and kind:
            problem = "comes after weight 100, when every request goes to the canary"
            yield _wrong(f"spec.strategy.steps[{i}].{kind}", problem, "move it before that step")


def _guards_say_something(spec: RolloutSpec) -> Iterator[BadManifest]:
    for name in ("outlier_detection", "connection_pool"):
        part = getattr(spec.guard, name)
        if part is not None and part == type(part)():
            field = f"spec.guard.{type(spec.guard).model_fields[name].alias}"
            yield _wrong(field, "is empty", "give it a field, or remove it")
    pool = spec.guard.connection_pool
    for name in ("tcp", "http"):
        part = getattr(pool, name) if pool is not None else None
        if part is not None and part == type(part)():
            yield _wrong(f"spec.guard.connectionPool.{name}", "is empty", "give it a field")


def _ladder_rises(spec: RolloutSpec) -> Iterator[BadManifest]:
    last = 0.0
    for i, step in enumerate(spec.strategy.steps):
        weight = step.top_weight
        if weight is None:
            continue
        if weight <= last:
            field = "weight" if step.ramp is None else "ramp.maxWeight"
            yield _wrong(
                f"spec.strategy.steps[{i}].{field}",
                f"is {_as_written(weight)} after {_as_written(last)}",
                f"weights must rise along the ladder: {_more_than(last)}",
            )
        last = weight


def _as_written(percent: float) -> str:
    return f"{decimal_of(percent).normalize():f}"


def _more_than(percent: float) -> str:
    return f"use more than {_as_written(percent)}" if percent < 100 else "remove this step"


def _ladder_has_room(spec: RolloutSpec) -> Iterator[BadManifest]:
    """A run ends with 100 percent; where the ladder does not say so, a step is added."""
    steps = spec.strategy.steps
    if len(steps) == STEPS_MAX and all(step.weight != 100 for step in steps):
        yield _wrong(
            "spec.strategy.steps",
            f"has {STEPS_MAX} steps and none of weight 100, which would be one too many",
            "end it with weight 100, or use fewer steps",
        )


def _checks_name_gates(spec: RolloutSpec) -> Iterator[BadManifest]:
    names = [gate.name for gate in spec.gates]
    for i, step in enumerate(spec.strategy.steps):
        for j, name in enumerate(step.check.gates if step.check else ()):
            if name not in names:
                yield _wrong(
                    f"spec.strategy.steps[{i}].check.gates[{j}]",
                    f"names {name!r}, which is no gate",
                    f"use one of {', '.join(names)}" if names else "add it under spec.gates",
                )


def _gates_are_whole(spec: RolloutSpec) -> Iterator[BadManifest]:
    seen: set[str] = set()
    for i, gate in enumerate(spec.gates):
        path = f"spec.gates[{i}]"
        if gate.name in seen:
            yield _wrong(f"{path}.name", f"{gate.name!r} is there twice", "give it another name")
        seen.add(gate.name)
        yield from _one_kind(path, gate, GATE_KINDS)
        yield from _gate_has_bound(path, gate)
        for step in gate.steps or ():
            if step > len(spec.strategy.steps):
                count = len(spec.strategy.steps)
                yield _wrong(f"{path}.steps", f"names step {step} of {count}", f"use 1 to {count}")


def _counting_gates_have_room(spec: RolloutSpec) -> Iterator[BadManifest]:
    """Each keeps 2 to 4 kB of evidence in the status, which has 32 KiB."""
    count = sum(gate.query is None for gate in spec.gates)
    if count > COUNTING_GATES_MAX:
        yield _wrong(
            "spec.gates",
            f"has {count} gates that count requests, and each keeps evidence in the status",
            f"use at most {COUNTING_GATES_MAX}; a query takes little room",
        )


def _queries_have_room(spec: RolloutSpec) -> Iterator[BadManifest]:
    """Each keeps about 0.7 kB of evidence in the status."""
    asked = [gate.query for gate in spec.gates if gate.query is not None]
    count = sum(query.decide == "Evidence" for query in asked)
    if count > EVIDENT_QUERIES_MAX:
        yield _wrong(
            "spec.gates",
            f"has {count} queries that evidence decides, and each keeps some in the status",
            f"use at most {EVIDENT_QUERIES_MAX}, and `decide: Threshold` for others",
        )


def _gate_has_bound(path: str, gate: Gate) -> Iterator[BadManifest]:
    rate, latency = gate.error_rate, gate.latency
    if rate is not None and rate.max_percent is None and rate.max_ratio is None:
        yield _wrong(f"{path}.errorRate", "has no bound", "give maxPercent, maxRatio or both")
    if gate.query is not None:
        yield from query_rules.problems(f"{path}.query", gate.query)
    if latency is not None and latency.max is None and latency.max_ratio is None:
        yield _wrong(f"{path}.latency", "has no bound", "give max, maxRatio or both")


NEVER_ZERO = (
    "maxDuration",
    "latency.max",
    "maxInterval",
    "block",
    "Deadline",
    "].timeout",
    "expiresAfter",
)
"""How fields end that make no sense at once."""


def _durations_can_be_read(spec: RolloutSpec) -> Iterator[BadManifest]:
    strategy, judge = spec.strategy, spec.judge
    fields = {
        "spec.strategy.bake": strategy.bake,
        "spec.strategy.maxDuration": strategy.max_duration,
        "spec.strategy.undoWindow": strategy.undo_window,
        "spec.judge.maxInterval": judge.max_interval,
        "spec.judge.noDataDeadline": judge.no_data_deadline,
        "spec.judge.metricsOutageDeadline": judge.metrics_outage_deadline,
    }
    for i, step in enumerate(strategy.steps):
        fields.update(_step_durations(f"spec.strategy.steps[{i}]", step))
    fields.update(_guard_durations(spec.guard))
    for i, gate in enumerate(spec.gates):
        fields.update(_gate_durations(f"spec.gates[{i}]", gate))
    fields.update({f"spec.webhooks[{i}].timeout": h.timeout for i, h in enumerate(spec.webhooks)})
    for field, text in fields.items():
        try:
            seconds = parse_duration(text)
        except BadQuantity as error:
            yield _wrong(field, f"is {text!r}", f"use {error.wanted}")
        else:
            is_never_zero = field.endswith(NEVER_ZERO)
            if field.endswith("block") and seconds != int(seconds):
                yield _wrong(field, f"is {text!r}", "use whole seconds")
            if seconds == 0 and (is_never_zero or field.startswith("spec.guard.")):
                yield _wrong(field, "is zero", "use a longer duration")


def _gate_durations(path: str, gate: Gate) -> Iterator[tuple[str, str]]:
    if gate.latency is not None and gate.latency.max is not None:
        yield f"{path}.latency.max", gate.latency.max
    if gate.query is not None and gate.query.block is not None:
        yield f"{path}.query.block", gate.query.block


def _step_durations(path: str, step: Step) -> Iterator[tuple[str, str]]:
    if step.hold is not None:
        yield f"{path}.hold", step.hold
    if step.ramp is not None:
        yield f"{path}.ramp.minHold", step.ramp.min_hold
    if step.pause is not None and step.pause.for_ is not None:
        yield f"{path}.pause.for", step.pause.for_
    if step.check is not None and step.check.for_ is not None:
        yield f"{path}.check.for", step.check.for_
    if step.approval is not None and step.approval.expires_after is not None:
        yield f"{path}.approval.expiresAfter", step.approval.expires_after


def _guard_durations(guard: Guard) -> Iterator[tuple[str, str]]:
    pool = guard.connection_pool
    parts: tuple[tuple[str, Model | None], ...] = (
        ("spec.guard", guard),
        ("spec.guard.retries", guard.retries),
        ("spec.guard.outlierDetection", guard.outlier_detection),
        ("spec.guard.connectionPool.tcp", pool and pool.tcp),
        ("spec.guard.connectionPool.http", pool and pool.http),
    )
    for path, part in parts:
        for name, field in type(part).model_fields.items() if part is not None else ():
            value = getattr(part, name)
            if isinstance(value, str) and name != "retry_on":
                yield f"{path}.{field.alias or name}", value


def check_windows(windows: Windows, *, at: str) -> Iterator[BadManifest]:
    """What is wrong with windows that stand at a path; cron and time zones the calendar checks."""
    for i, opening in enumerate(windows.allow):
        try:
            is_empty, remedy = parse_duration(opening.for_) == 0, "use a longer duration"
        except BadQuantity as error:
            is_empty, remedy = True, f"use {error.wanted}"
        if is_empty:
            yield _wrong(f"{at}.allow[{i}].for", f"is {opening.for_!r}", remedy)
    for i, freeze in enumerate(windows.freeze):
        if freeze.from_ is not None and freeze.from_ >= freeze.until:
            ends = freeze.until.isoformat()
            yield _wrong(f"{at}.freeze[{i}].until", f"is {ends}, not after from", "swap the two")


def _windows_make_sense(spec: RolloutSpec) -> Iterator[BadManifest]:
    return check_windows(spec.windows, at="spec.windows")


def _arms_differ(spec: RolloutSpec) -> Iterator[BadManifest]:
    arm = spec.metrics.arm
    if arm is not None and arm.stable == arm.canary:
        yield _wrong(
            "spec.metrics.arm.canary",
            f"is {arm.canary!r}, the same as stable",
            "name the canary's own value, or remove spec.metrics.arm",
        )


HOOK_SECONDS_MAX = 300.0
"""The longest that one answer of a webhook may take."""


def _webhooks_are_whole(spec: RolloutSpec) -> Iterator[BadManifest]:
    names, count = [hook.name for hook in spec.webhooks], len(spec.strategy.steps)
    for i, hook in enumerate(spec.webhooks):
        path = f"spec.webhooks[{i}]"
        if hook.name in names[:i]:
            yield _wrong(f"{path}.name", f"{hook.name!r} is there twice", "give it another name")
        if hook.steps is not None and hook.point is not HookPoint.BEFORE_STEP:
            yield _wrong(f"{path}.steps", f"means nothing with {hook.point}", "remove it")
        if hook.steps is not None and not all(step <= count for step in hook.steps or (count + 1,)):
            yield _wrong(f"{path}.steps", "names no step that there is", f"use 1 to {count}")
        if parse_duration(hook.timeout) > HOOK_SECONDS_MAX:
            yield _wrong(f"{path}.timeout", f"is {hook.timeout}", "use at most 5m")


SPEC_SIZE_BYTES_MAX = 12 * 1024
"""Room for a spec: a run keeps a copy in the status, and all of that has 32 KiB."""


def _a_copy_fits_the_status(spec: RolloutSpec) -> Iterator[BadManifest]:
    size_bytes = len(spec.model_dump_json(by_alias=True, exclude_none=True))
    if size_bytes > SPEC_SIZE_BYTES_MAX:
        yield _wrong(
            "spec",
            f"takes {size_bytes} bytes, and each run keeps a copy",
            f"use at most {SPEC_SIZE_BYTES_MAX}; long queries can be recording rules in Prometheus",
        )


_RULES: tuple[Callable[[RolloutSpec], Iterator[BadManifest]], ...] = (
    _steps_have_one_kind,
    _durations_can_be_read,
    _ladder_rises,
    _ladder_has_room,
    _matches_end_what_began,
    _nothing_is_tried_at_full_weight,
    _guards_say_something,
    _gates_are_whole,
    _counting_gates_have_room,
    _queries_have_room,
    _checks_name_gates,
    _windows_make_sense,
    _arms_differ,
    _webhooks_are_whole,
    _a_copy_fits_the_status,
)
