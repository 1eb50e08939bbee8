"""The head message of a run in Slack: where it is and why, and the buttons that make sense now.

It is made from the present status and nothing else, so whoever decided, and by whatever tool, it
says so. Blocks come in the same order in every state, and updates do not make it jump.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from types import MappingProxyType

from rollout.api.action import Verb
from rollout.api.chat import Message
from rollout.api.evidence import Verdict
from rollout.api.phase import Outcome, Phase
from rollout.api.status import Command, Decided, GateStatus, Run
from rollout.engine import approvals
from rollout.views import sentences
from rollout.views.glyphs import UNICODE, bar
from rollout.views.slack_ask import Ask, action_of, written
from rollout.views.slack_names import named
from rollout.views.slack_text import (
    BUTTON_LENGTH_MAX,
    CONFIRM_BUTTON_LENGTH_MAX,
    CONFIRM_TEXT_LENGTH_MAX,
    CONFIRM_TITLE_LENGTH_MAX,
    Block,
    context,
    escaped,
    header,
    lines,
    link,
    moment,
    person,
    plain,
    section,
)
from rollout.views.subject import Subject

BAR_WIDTH = 20
"""Cells: 5 percent each; on a phone it still fits a line."""

TITLE_LENGTH_MAX = 600
MESSAGE_LENGTH_MAX = 1400
LADDER_LENGTH_MAX = 160
GATES_LENGTH_MAX = 1400
GATE_LENGTH_MAX = 300
PEOPLE_LENGTH_MAX = 900
REASON_LENGTH_MAX = 300
"""Together below 5,000 characters, which Slack surely takes."""

MARKS: Mapping[Phase, tuple[str, str]] = MappingProxyType(
    {
        Phase.PENDING: ("⏳", "Pending"),
        Phase.STABLE: ("✅", "Stable"),
        Phase.PREPARING: ("🔵", "Preparing"),
        Phase.PROGRESSING: ("🔵", "Progressing"),
        Phase.WAITING: ("⏸️", "Waiting"),
        Phase.PROMOTING: ("🔵", "Promoting"),
        Phase.BAKING: ("🔵", "Baking"),
        Phase.ROLLING_BACK: ("🔴", "Rolling back"),
        Phase.ROLLED_BACK: ("🔴", "Rolled back"),
        Phase.BLOCKED: ("⚠️", "Blocked"),
        Phase.INVALID: ("⚠️", "Invalid"),
    }
)
"""A sign and a word: the sign alone tells nothing to those who do not see it."""

ENDS: Mapping[Outcome, tuple[str, str]] = MappingProxyType(
    {
        Outcome.PROMOTED: ("✅", "Promoted"),
        Outcome.ROLLED_BACK: ("🔴", "Rolled back"),
        Outcome.ABORTED: ("🔴", "Aborted"),
        Outcome.SUPERSEDED: ("⚪", "Superseded"),
        Outcome.DELETED: ("⚪", "Deleted"),
    }
)

_VERDICTS: Mapping[Verdict, str] = MappingProxyType(
    {Verdict.PASS: "✓", Verdict.FAIL: "✗", Verdict.UNKNOWN: "?"}
)

_ORDER = (Verdict.FAIL, Verdict.UNKNOWN, Verdict.PASS)


def head(
    subject: Subject,
    *,
    now: datetime,
    uid: str,
    url: str = "",
    pressable: bool = True,
) -> Message:
    """The head message of the newest run.

    Args:
        subject: the Rollout; it has had a run.
        now: the time.
        uid: the Rollout's uid.
        url: where more is to be seen; empty: nowhere.
        pressable: whether presses can reach us; where not there are no buttons.
    """
    run = subject.run
    assert run is not None, "only runs have a thread"
    title = f"{subject.key}: {run.stable_revision} {UNICODE.arrow} {run.canary_revision}"
    sign, word = _mark(subject, run)
    message = sentences.sentence(_message(subject, run))
    blocks = [
        header(title),
        section(f"{sign} *{word}.* {named(message, run, length_max=MESSAGE_LENGTH_MAX)}"),
        section(_course(subject, run, now=now)),
    ]
    gates = _gates(run)
    if gates:
        blocks.append(section(gates))
    people = list(_people(run))
    if people:
        blocks.append(section(lines(people, length_max=PEOPLE_LENGTH_MAX)))
    buttons = list(_buttons(subject, run, uid=uid)) if pressable else []
    if buttons:
        blocks.append({"type": "actions", "elements": buttons})
    blocks.append(context(" · ".join(_small(subject, run, url=url))))
    text = f"{escaped(title, TITLE_LENGTH_MAX)}: {word.lower()}: "
    text += named(message, run, length_max=MESSAGE_LENGTH_MAX)
    return Message(text=text, blocks=tuple(blocks))


def _mark(subject: Subject, run: Run) -> tuple[str, str]:
    """How the run stands; of one that is over how it ended."""
    if run.ended_at is None:
        return MARKS[subject.status.phase]
    return ENDS[run.ending.outcome if run.ending is not None else Outcome.PROMOTED]


def _message(subject: Subject, run: Run) -> str:
    """The sentence of the status; of a run that is over and is not what it speaks of, why."""
    past = next((one for one in subject.status.history if one.id == run.id), None)
    resting = {Phase.STABLE, Phase.ROLLED_BACK}
    if run.ended_at is not None and past is not None and subject.status.phase not in resting:
        return past.because
    return subject.status.message


# Where it is.


def _course(subject: Subject, run: Run, *, now: datetime) -> str:
    """Weights, ladder, and what comes next."""
    found = [f"`{_bar(run.weight)}` {sentences.percent(run.weight)} of the traffic"]
    if run.observed_weight is not None and run.ended_at is None:
        found.append(f"`{_bar(run.observed_weight)}` {sentences.percent(run.observed_weight)} seen")
    found.append(_ladder(run))
    if run.ended_at is None:
        found.append(f"*Next:* {_next(subject, run, now=now)}")
    return "\n".join(found)


def _next(subject: Subject, run: Run, *, now: datetime) -> str:
    """What comes next, by the clock: a message is read when it is read, not when it was sent.

    It also stays the same for as long as nothing happens, and need not be sent again.
    """
    following = sentences.sentence(sentences.what_next(subject, now=now))
    told = escaped(following, REASON_LENGTH_MAX)
    due = sentences.due_at(run)
    if due is None:
        return told
    return told.replace(
        f" in {sentences.span(now, due)}", f" at {moment(due, form='{time_secs}')}", 1
    )


def _bar(percent: float) -> str:
    return bar(percent, width=BAR_WIDTH, glyphs=UNICODE)


def _ladder(run: Run) -> str:
    """All rungs with the present one marked; of a long ladder those around it."""
    rungs = sentences.rungs(run)
    if not rungs:
        return "all at once"
    drawn = [_rung(rung) for rung in rungs]
    here = min(max(run.step - 1, 0), len(rungs) - 1)
    place = f"Step {run.step} of {run.step_count}: " if 0 < run.step <= run.step_count else ""
    first, last = 0, len(drawn)
    while sum(map(len, drawn[first:last])) + 3 * (last - first) > LADDER_LENGTH_MAX:
        first, last = (first + 1, last) if here - first >= last - 1 - here else (first, last - 1)
    before, after = "… ─ " if first else "", " ─ …" if last < len(drawn) else ""
    return place + before + " ─ ".join(drawn[first:last]) + after


def _rung(rung: sentences.Rung) -> str:
    text = escaped(rung.text, 60)
    if rung.state == "done":
        return f"{text} ✓"
    return f"*[{text}]*" if rung.state == "here" else text


def _gates(run: Run) -> str:
    """Every gate with its verdict and the evidence, what fails first."""
    observing = {gate.name for gate in run.plan.gates if gate.mode == "Observe"}
    ordered = sorted(run.gates, key=lambda gate: _ORDER.index(gate.verdict))
    found = [_gate(gate, observes=gate.name in observing) for gate in ordered]
    return lines(found, length_max=GATES_LENGTH_MAX)


def _gate(gate: GateStatus, *, observes: bool) -> str:
    name = f"*{escaped(gate.name, 63)}*{' (observes only)' if observes else ''}"
    said = f"{_VERDICTS[gate.verdict]} {name} {sentences.SAYS[gate.verdict]}"
    because = escaped(sentences.because(gate), GATE_LENGTH_MAX)
    return f"{said}: {because}" if because else said


# Who did what.


def _people(run: Run) -> Iterator[str]:
    """What people said in this run, the newest last."""
    asked = approvals.asked_at(run.plan, run.step)
    if asked is not None and run.ending is None:
        given = approvals.given_count(run, run.step)
        expires = approvals.expires_at(run)
        until = f", until {moment(expires)}" if expires is not None else ""
        yield f"*Approval:* {given} of {asked.quorum}{until}"
    for decided in run.approvals:
        yield _decided(decided)
    if run.promoted_full is not None:
        yield _said(run.promoted_full, "sent the run to 100 %")
    if run.paused is not None and run.ended_at is None:
        yield _said(run.paused, "paused the run")
    ending = run.ending
    if ending is not None and ending.command is not None and not _rejected(run, ending.command):
        yield _said(ending.command, "ended the run")


def _rejected(run: Run, command: Command) -> bool:
    """Whether the command that ended the run is told already, as the rejection that it was."""
    return any(one.verdict == "Rejected" and one.by == command.by for one in run.approvals)


def _decided(decided: Decided) -> str:
    sign = "✓" if decided.verdict == "Approved" else "✗"
    told = f"{sign} {decided.verdict} by {person(decided.by)}, step {decided.step}"
    told += f", {moment(decided.at)}"
    return f"{told}: {escaped(decided.reason, REASON_LENGTH_MAX)}" if decided.reason else told


def _said(command: Command, what: str) -> str:
    told = f"{person(command.by)} {what}, {moment(command.at)}"
    return f"{told}: {escaped(command.reason, REASON_LENGTH_MAX)}" if command.reason else told


def _small(subject: Subject, run: Run, *, url: str) -> Iterator[str]:
    yield f"run {escaped(run.id, 20)}"
    yield f"started {moment(run.started_at)}"
    if run.ended_at is not None:
        yield f"took {sentences.span(run.started_at, run.ended_at)}"
    if subject.asked_because and run.canary_revision == subject.revision:
        yield escaped(subject.asked_because, REASON_LENGTH_MAX)
    found = link(url, "details")
    if found:
        yield found


# What can be pressed.


def verbs(subject: Subject) -> tuple[Verb, ...]:
    """What can be commanded now by pressing, the likeliest first."""
    run = subject.run
    if run is None:
        return ()
    if run.ended_at is not None:
        rejected = subject.status.rejected_revision
        again = subject.status.phase is Phase.ROLLED_BACK and rejected == subject.revision
        return (Verb.RETRY,) if again and rejected == run.canary_revision else ()
    return () if run.ending is not None else tuple(_in_run(run))


def _in_run(run: Run) -> Iterator[Verb]:
    if run.paused is not None:
        yield Verb.RESUME
    if approvals.asked_at(run.plan, run.step) is not None:
        if not approvals.is_given(run, run.step):
            yield Verb.APPROVE
            yield Verb.REJECT
    elif run.step > 0 and not run.retreated:
        yield Verb.PROMOTE
    if run.paused is None:
        yield Verb.PAUSE
    yield Verb.ABORT


_STYLES: Mapping[Verb, str] = MappingProxyType(
    {Verb.APPROVE: "primary", Verb.REJECT: "danger", Verb.ABORT: "danger"}
)


def _buttons(subject: Subject, run: Run, *, uid: str) -> Iterator[Block]:
    for verb in verbs(subject):
        ask = Ask(key=subject.key, uid=uid, run=run.id, step=min(run.step, 100), verb=verb)
        button = {
            "type": "button",
            "action_id": action_of(verb),
            "text": plain(verb, BUTTON_LENGTH_MAX),
            "value": written(ask),
        }
        if verb in _STYLES:
            button["style"] = _STYLES[verb]
        sure = _sure(verb, run)
        if sure:
            button["confirm"] = _confirm(f"{verb} {subject.key}?", sure, verb)
        yield button


def _sure(verb: Verb, run: Run) -> str:
    """What a press would do, for what is not easily taken back; empty: it may just be done.

    Abort and Reject ask for a reason, in a form that can be left as well.
    """
    match verb:
        case Verb.APPROVE:
            return f"Once enough have approved, what follows is {sentences.next_step(run)}."
        case Verb.PROMOTE:
            return f"This step ends now; what follows is {sentences.next_step(run)}."
        case Verb.RETRY:
            return f"{run.canary_revision} was taken back; it gets traffic once more."
        case _:
            return ""


def _confirm(title: str, text: str, verb: Verb) -> Block:
    return {
        "title": plain(title, CONFIRM_TITLE_LENGTH_MAX),
        "text": plain(text, CONFIRM_TEXT_LENGTH_MAX),
        "confirm": plain(verb, CONFIRM_BUTTON_LENGTH_MAX),
        "deny": plain("Not now", CONFIRM_BUTTON_LENGTH_MAX),
    }
