"""Words that all views share: spans of time, percents, rungs, what is next, what one can do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Literal

from rollout.api.evidence import Verdict
from rollout.api.phase import Outcome, Phase
from rollout.api.status import GateStatus, Run
from rollout.api.step import Step
from rollout.api.window import Closed
from rollout.base.quantity import parse_duration, print_duration, print_percent
from rollout.engine import approvals, hooking, words
from rollout.engine import plan as plans
from rollout.views.subject import Subject


def percent(value: float) -> str:
    """A percent as people are told it."""
    return f"{print_percent(value)} %"


def span(since: datetime, until: datetime) -> str:
    """How long it is between two moments; a negative span is none."""
    return print_duration(max(0.0, (until - since).total_seconds()))


def age(since: datetime | None, *, now: datetime) -> str:
    """A rough age in one unit, as kubectl prints it: ``45s``, ``12m``, ``5h``, ``3d``."""
    if since is None:
        return "-"
    seconds = max(0, int((now - since).total_seconds()))
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size or (size > 60 and seconds >= size):
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def clock(moment: datetime) -> str:
    """A time of day in UTC."""
    return f"{moment:%H:%M:%S} UTC"


def plural(count: int, noun: str) -> str:
    """A count with its noun: ``1 request``, ``1,203 requests``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def sentence(text: str) -> str:
    """The text with a full stop, unless it ends with a sign of its own."""
    return text if not text or text[-1] in ".!?" else f"{text}."


def notes(subject: Subject, *, now: datetime) -> Iterator[str]:
    """What is worth knowing besides; messages that should have reached people by now, at last."""
    for note in subject.status.notes:
        yield note.message
    late = [one for one in subject.status.outbox if now - one.at > UNTOLD_PATIENCE]
    if late:
        whom = join(sorted({str(sink) for one in late for sink in one.still}))
        count = plural(len(late), "message")
        yield f"{count} still to be told to {whom}, since {clock(late[0].at)}"


UNTOLD_PATIENCE = timedelta(minutes=1)
"""A message takes a second; one that takes so long has met an obstacle."""


# The ladder.


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One step of the ladder in words.

    Attributes:
        text: what the step does.
        state: where the run stands to it.
    """

    text: str
    state: Literal["done", "here", "ahead"]


def rungs(run: Run) -> tuple[Rung, ...]:
    """The ladder of a run, the bake at its end included."""
    texts = [rung_text(step) for step in run.plan.strategy.steps]
    if parse_duration(run.plan.strategy.bake) > 0:
        texts.append(f"bake {run.plan.strategy.bake}")
    promoted = run.ending is not None and run.ending.outcome is Outcome.PROMOTED
    return tuple(
        Rung(text=text, state=_state(run, number, promoted=promoted))
        for number, text in enumerate(texts, 1)
    )


def _state(run: Run, number: int, *, promoted: bool) -> Literal["done", "here", "ahead"]:
    if promoted or number < run.step:
        return "done"
    return "here" if number == run.step else "ahead"


def rung_text(step: Step) -> str:
    """What a step does, in two or three words."""
    if step.weight is not None:
        return percent(step.weight)
    if step.ramp is not None:
        return f"ramp to {percent(step.ramp.max_weight)}"
    if step.pause is not None:
        return f"pause {step.pause.for_}" if step.pause.for_ else "pause"
    if step.approval is not None:
        return "approval"
    if step.match is not None:
        names = ", ".join([*step.match.headers, *step.match.cookies])
        return f"match {names}" if names else "end of the match"
    if step.mirror is not None:
        return f"mirror {percent(step.mirror)}"
    assert step.check is not None, "a step has exactly one kind"
    return "check " + ", ".join(step.check.gates)


# What happens next.


def due_at(run: Run) -> datetime | None:
    """When the present step may end as far as time goes; None: only a person ends it."""
    strategy = run.plan.strategy
    if run.step > len(strategy.steps):
        return run.step_started_at + timedelta(seconds=parse_duration(strategy.bake))
    if run.step == 0:
        return None
    step = strategy.steps[run.step - 1]
    if step.approval is not None or (step.pause is not None and step.pause.for_ is None):
        return None
    if step.ramp is not None:
        since = run.ramped_at or run.step_started_at
        return since + timedelta(seconds=parse_duration(step.ramp.min_hold))
    least = (
        step.hold or (step.pause and step.pause.for_) or (step.check and step.check.for_) or "0s"
    )
    return run.step_started_at + timedelta(seconds=parse_duration(least))


def wanting(run: Run) -> tuple[str, ...]:
    """Gates that must pass before the present step may end, and do not."""
    if run.step == 0 or run.step > len(run.plan.strategy.steps) or run.weight >= 100:
        return ()
    step = run.plan.strategy.steps[run.step - 1]
    if step.pause is not None or step.approval is not None:
        return ()
    if step.check is not None:
        required = set(step.check.gates)
    else:
        required = {
            gate.name for gate in run.plan.gates if gate.steps is None or run.step in gate.steps
        }
    required -= {gate.name for gate in run.plan.gates if gate.mode == "Observe"}
    passing = {gate.name for gate in run.gates if gate.verdict is Verdict.PASS}
    return tuple(gate.name for gate in run.plan.gates if gate.name in required - passing)


def next_step(run: Run) -> str:
    """What follows the present step."""
    steps = run.plan.strategy.steps
    if run.step < len(steps):
        following = steps[run.step]
        if following.weight is not None:
            return f"{percent(following.weight)} of the traffic"
        text = rung_text(following)
        return f"an {text}" if text.startswith(("end", "approval")) else f"a {text}"
    if run.step == len(steps) and parse_duration(run.plan.strategy.bake) > 0:
        return f"a bake of {run.plan.strategy.bake}"
    return f"{run.canary_revision} becomes the stable revision"


def what_next(subject: Subject, *, now: datetime) -> str:
    """What happens next and on what condition, without a full stop."""
    run = subject.active
    if subject.status.phase is Phase.INVALID:
        return "nothing, until the field that is named is mended"
    if run is None:
        return _at_rest(subject)
    if run.ending is not None:
        return f"the run is over once {run.canary_revision} gets no traffic any more"
    return _held(subject, run) or _in_step(run, now=now)


def _held(subject: Subject, run: Run) -> str:
    """What keeps the run where it is, other than time and gates; empty: nothing."""
    if run.paused is not None:
        return "nothing, until somebody resumes the run; a failing gate still takes it back"
    if subject.status.phase is Phase.BLOCKED:
        return "nothing moves until that is mended"
    if subject.status.reason in {words.WEBHOOK, words.WEBHOOK_HOLDS}:
        return _asked(run)
    if run.step == 0:
        return f"{next_step(run)}, once {run.canary_revision} is ready and has been for a moment"
    if subject.status.closed is not None and run.weight < 100:
        return f"no increase {_until(subject.status.closed)}; a failing gate still takes it back"
    return "no increase while spec.suspend is true" if subject.suspended else ""


def closed(what: Closed) -> str:
    """What keeps a Rollout from moving, and until when, in UTC as all times here are."""
    if what.until is None or what.until.strftime("%H:%M UTC") in what.because:
        return what.because
    return f"{what.because}; that is {what.until:%Y-%m-%d %H:%M} UTC"


def _until(what: Closed) -> str:
    if what.until is not None:
        return f"before {what.until:%Y-%m-%d %H:%M} UTC"
    return "while spec.suspend is true" if what.reason == "Suspended" else "until that is lifted"


def _asked(run: Run) -> str:
    """What follows when webhooks let it begin."""
    full = plans.full_step(run.plan)
    skips = run.promoted_full is not None and run.step < full
    then = "100 % of the traffic" if skips else next_step(run)
    proviso = hooking.proviso(run, full if skips else run.step + 1)
    anew = f"; it is asked anew every {hooking.AGAIN_SECONDS:g} s" if hooking.refusal(run) else ""
    return f"{then}{proviso}{anew}"


def _in_step(run: Run, *, now: datetime) -> str:
    due = due_at(run)
    asked = approvals.asked_at(run.plan, run.step)
    if asked is not None:
        count = asked.quorum - approvals.given_count(run, run.step)
        people = "somebody approves" if count <= 1 else f"{count} more people approve"
        return f"{next_step(run)}, when {people}"
    if due is None:
        return f"{next_step(run)}, when somebody promotes"
    ramp = run.plan.strategy.steps[run.step - 1].ramp if run.step <= run.step_count else None
    if ramp is not None and run.weight < ramp.max_weight:
        top = percent(ramp.max_weight)
        return f"more traffic as its requests show that it may have it, up to {top}"
    missing = wanting(run)
    names, verb = join(missing), "pass" if len(missing) > 1 else "passes"
    if due > now:
        condition = f", if {names} then {verb}" if missing else ", unless a gate fails"
        return f"{next_step(run)} in {span(now, due)}{condition}"
    if missing:
        return f"{next_step(run)}, as soon as {names} {verb}"
    return f"{next_step(run)}, at the next look"


def _at_rest(subject: Subject) -> str:
    status = subject.status
    match status.phase:
        case Phase.ROLLED_BACK:
            return f"nothing; {subject.revision} runs again only by retry, or after another"
        case Phase.BLOCKED:
            return f"the run to {subject.revision} starts once that is mended"
        case Phase.PENDING:
            return _pending(subject)
        case _:
            if subject.unseen or subject.revision != status.stable_revision:
                return f"the controller starts the run to {subject.revision}"
            return "nothing, until another revision is wanted"


SAYS: Mapping[Verdict, str] = MappingProxyType(
    {Verdict.PASS: "passes", Verdict.FAIL: "fails", Verdict.UNKNOWN: "cannot say yet"}
)
"""What a gate does, as a word of a sentence that begins with its name."""


def _pending(subject: Subject) -> str:
    status = subject.status
    if not status.stable_revision:
        return "the controller looks at the service and adopts what is live as stable"
    if status.closed is not None:
        return f"the run to {subject.revision} does not start {_until(status.closed)}"
    if status.waiting is not None and status.waiting.in_line_since is not None:
        return f"the run to {subject.revision} starts when it is its turn"
    return f"the run to {subject.revision} starts when it may"


def because(gate: GateStatus) -> str:
    """Why a gate says what it says, without its name, which stands beside it."""
    return gate.because.removeprefix(f"{gate.name}: ")


def join(names: Sequence[str]) -> str:
    """Names as a person lists them: ``a``, ``a and b``, ``a, b and c``."""
    if len(names) < 2:
        return "".join(names)
    return ", ".join(names[:-1]) + f" and {names[-1]}"


# What one can do.


@dataclass(frozen=True, slots=True, kw_only=True)
class Remedy:
    """A command that makes sense now.

    Attributes:
        command: as it is typed.
        effect: what it would do.
    """

    command: str
    effect: str


def remedies(subject: Subject) -> tuple[Remedy, ...]:
    """The commands that make sense now, the likeliest first."""
    run = subject.active
    pairs = _in_rest(subject) if run is None else _in_run(run)
    return tuple(
        Remedy(command=typed(subject, verb, *rest), effect=effect)
        for (verb, *rest), effect in pairs
    )


def typed(subject: Subject, verb: str, *rest: str) -> str:
    """A command for this Rollout as it is typed."""
    where = ["-n", subject.key.namespace] if subject.key.namespace else []
    return " ".join(["rollout", verb, subject.key.name, *rest, *where])


_Pairs = list[tuple[tuple[str, ...], str]]


def _in_run(run: Run) -> _Pairs:
    if run.ending is not None:
        return [(("get", "--watch"), "watch it come to rest")]
    pairs: _Pairs = []
    if run.paused is not None:
        pairs.append((("resume",), "let the run go on"))
    if approvals.asked_at(run.plan, run.step) is not None:
        if not approvals.is_given(run, run.step):
            pairs.append((("approve",), "let this step end"))
            pairs.append((("reject",), f"take all traffic back to {run.stable_revision}"))
    elif run.step > 0 and not run.retreated and not hooking.refusal(run):
        pairs.append((("promote",), "end this step now"))
    if run.weight < 100 and not hooking.refusal(run):
        pairs.append((("promote", "--full"), "go to 100 % at once"))
    if run.paused is None:
        pairs.append((("pause",), f"stay at {percent(run.weight)}"))
    pairs.append((("abort",), f"take all traffic back to {run.stable_revision}"))
    return pairs


def _in_rest(subject: Subject) -> _Pairs:
    status = subject.status
    pairs: _Pairs = []
    if status.rejected_revision and status.rejected_revision == subject.revision:
        pairs.append((("retry",), f"run {status.rejected_revision} again"))
    if status.phase is Phase.STABLE and previous_stable(subject):
        back = previous_stable(subject)
        pairs.append((("undo",), f"go back to {back}"))
    pairs.append((("set", "REVISION"), "start a run to another revision"))
    return pairs


def previous_stable(subject: Subject) -> str:
    """The revision that was stable before the present one; empty when history knows none."""
    present = subject.status.stable_revision
    return next(
        (
            past.stable_revision
            for past in subject.status.history
            if past.outcome is Outcome.PROMOTED and past.stable_revision not in {"", present}
        ),
        "",
    )


# One line.


def line(subject: Subject) -> str:
    """A Rollout in one line, for logs: phase, weight, message."""
    run = subject.active
    share = f"{percent(run.weight):>6}" if run is not None else " " * 6
    return f"{subject.status.phase:<11} {share}  {sentence(subject.status.message)}"
