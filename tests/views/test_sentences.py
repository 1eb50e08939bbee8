"""Words: spans, rungs, what happens next, what one can do."""

from __future__ import annotations

from datetime import timedelta

import pytest

from rollout.api.evidence import Verdict
from rollout.api.phase import Outcome, Phase
from rollout.api.status import Ending, GateStatus, Run
from rollout.api.step import Check, Pause, Step
from rollout.views import sentences, subject
from tests.people.runs import STATES
from tests.views.samples import (
    ABORTED,
    BY_ALICE,
    GATES,
    NOW,
    PROGRESSING,
    PROMOTED,
    ROLLED_BACK,
    RUN,
    STABLE,
    manifest,
    run_with,
)

PASSING = tuple(gate.model_copy(update={"verdict": Verdict.PASS}) for gate in GATES)
LATE = NOW - timedelta(minutes=10)


def next_of(status: object, **changes: object) -> str:
    return sentences.what_next(subject.read(manifest(status, **changes)), now=NOW)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("seconds", "age"),
    [(0, "0s"), (119, "119s"), (120, "2m"), (3600, "1h"), (86_400, "1d"), (-5, "0s")],
)
def test_an_age_is_one_rough_number(seconds: int, age: str) -> None:
    assert sentences.age(NOW - timedelta(seconds=seconds), now=NOW) == age


def test_an_unknown_age_is_a_dash() -> None:
    assert sentences.age(None, now=NOW) == "-"


def test_a_negative_span_is_none() -> None:
    assert sentences.span(NOW, NOW - timedelta(seconds=3)) == "0ms"


def test_one_is_singular() -> None:
    assert sentences.plural(1, "request") == "1 request"
    assert sentences.plural(1203, "request") == "1,203 requests"


def test_names_are_listed_as_people_do() -> None:
    assert [sentences.join(names) for names in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == [
        "",
        "a",
        "a and b",
        "a, b and c",
    ]


def test_a_sentence_gets_a_full_stop_unless_it_has_an_end() -> None:
    assert [sentences.sentence(text) for text in ("", "so", "so.", "so?")] == [
        "",
        "so.",
        "so.",
        "so?",
    ]


@pytest.mark.parametrize(
    ("step", "text"),
    [
        (Step(weight=0.5, hold="1m"), "0.5 %"),
        (Step(pause=Pause()), "pause"),
        (Step(pause=Pause(for_="5m")), "pause 5m"),
        (Step(check=Check(gates=("a", "b"))), "check a, b"),
    ],
)
def test_a_rung_is_told_in_a_few_words(step: Step, text: str) -> None:
    assert sentences.rung_text(step) == text


def test_the_ladder_says_what_is_done_and_where_the_run_is() -> None:
    states = [(rung.text, rung.state) for rung in sentences.rungs(RUN)]

    assert states == [
        ("1 %", "done"),
        ("25 %", "here"),
        ("pause", "ahead"),
        ("100 %", "ahead"),
        ("bake 5m", "ahead"),
    ]


def test_all_of_the_ladder_of_a_promoted_run_is_done() -> None:
    ending = Ending(outcome=Outcome.PROMOTED, because="promoted", decided_at=NOW)

    rungs = sentences.rungs(RUN.model_copy(update={"step": 5, "ending": ending}))

    assert {rung.state for rung in rungs} == {"done"}


def without_bake(run: Run) -> Run:
    strategy = run.plan.strategy.model_copy(update={"bake": "0s"})
    return run.model_copy(update={"plan": run.plan.model_copy(update={"strategy": strategy})})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "a pause in 40s, if latency then passes"),
        ({"gates": PASSING}, "a pause in 40s, unless a gate fails"),
        ({"step_started_at": LATE}, "a pause, as soon as latency passes"),
        ({"gates": ()}, "a pause in 40s, if errors and latency then pass"),
        ({"gates": (), "step_started_at": LATE}, "a pause, as soon as errors and latency pass"),
        ({"step_started_at": LATE, "gates": PASSING}, "a pause, at the next look"),
        ({"step": 3}, "100 % of the traffic, when somebody promotes"),
        ({"step": 4, "weight": 100.0, "step_started_at": LATE}, "a bake of 5m, at the next look"),
        (
            {"step": 5, "weight": 100.0},
            "v3 becomes the stable revision in 3m40s, unless a gate fails",
        ),
        ({"step": 0, "weight": 0.0}, "1 % of the traffic, once v3 is ready"),
        ({"paused": BY_ALICE}, "nothing, until somebody resumes the run"),
        (
            {"ending": Ending(outcome=Outcome.ABORTED, because="", decided_at=NOW)},
            "the run is over once v3 gets no traffic any more",
        ),
    ],
)
def test_what_happens_next_in_a_run(changes: dict[str, object], words: str) -> None:
    assert next_of(run_with(**changes)).startswith(words)


def test_a_run_without_bake_ends_with_its_ladder() -> None:
    status = PROGRESSING.model_copy(
        update={"run": without_bake(RUN.model_copy(update={"step": 4, "weight": 100.0}))}
    )

    assert next_of(status) == "v3 becomes the stable revision, at the next look"


def test_a_check_waits_for_its_gates_alone() -> None:
    strategy = RUN.plan.strategy.model_copy(
        update={"steps": (Step(check=Check(gates=("errors",))),)}
    )
    plan = RUN.plan.model_copy(update={"strategy": strategy})
    failing = (GateStatus(name="errors", verdict=Verdict.FAIL),)

    run = RUN.model_copy(update={"plan": plan, "step": 1, "gates": failing})

    assert sentences.wanting(run) == ("errors",)


@pytest.mark.parametrize(
    ("phase", "words"),
    [
        (Phase.BLOCKED, "nothing moves until that is mended"),
        (Phase.INVALID, "nothing, until the field that is named is mended"),
    ],
)
def test_what_is_in_the_way_must_be_mended(phase: Phase, words: str) -> None:
    assert next_of(PROGRESSING.model_copy(update={"phase": phase})) == words


def test_a_suspended_rollout_does_not_increase() -> None:
    document = manifest(PROGRESSING)
    document["spec"]["suspend"] = True

    words = sentences.what_next(subject.read(document), now=NOW)

    assert words == "no increase while spec.suspend is true"


@pytest.mark.parametrize(
    ("update", "revision", "words"),
    [
        ({}, "v2", "nothing, until another revision is wanted"),
        ({}, "v9", "the controller starts the run to v9"),
        ({"phase": Phase.PENDING}, "v9", "the run to v9 starts when it may"),
        ({"phase": Phase.PENDING, "stable_revision": ""}, "v9", "the controller looks at"),
        ({"phase": Phase.BLOCKED}, "v9", "the run to v9 starts once that is mended"),
    ],
)
def test_what_happens_next_at_rest(update: dict[str, object], revision: str, words: str) -> None:
    assert next_of(STABLE.model_copy(update=update), revision=revision).startswith(words)


def test_a_revision_that_was_taken_back_runs_again_only_when_told() -> None:
    assert next_of(ROLLED_BACK) == "nothing; v3 runs again only by retry, or after another"


def verbs(status: object, revision: str = "v3") -> list[str]:
    seen = subject.read(manifest(status, revision=revision))  # type: ignore[arg-type]
    return [" ".join(r.command.split()[1:]) for r in sentences.remedies(seen)]


def test_commands_that_make_sense_in_a_run() -> None:
    assert verbs(PROGRESSING) == [
        "promote reviews -n shop",
        "promote reviews --full -n shop",
        "pause reviews -n shop",
        "abort reviews -n shop",
    ]


def test_commands_that_make_sense_while_paused() -> None:
    assert verbs(run_with(paused=BY_ALICE))[0] == "resume reviews -n shop"
    assert not any(verb.startswith("pause") for verb in verbs(run_with(paused=BY_ALICE)))


def test_commands_that_make_sense_at_100_percent() -> None:
    assert verbs(run_with(weight=100.0, step=5)) == [
        "promote reviews -n shop",
        "pause reviews -n shop",
        "abort reviews -n shop",
    ]


def test_a_run_that_is_on_its_way_back_can_only_be_watched() -> None:
    ending = Ending(outcome=Outcome.ABORTED, because="", decided_at=NOW)

    assert verbs(run_with(ending=ending)) == ["get reviews --watch -n shop"]


def test_commands_that_make_sense_at_rest() -> None:
    assert verbs(STABLE, "v2") == ["undo reviews -n shop", "set reviews REVISION -n shop"]
    assert verbs(ROLLED_BACK) == ["retry reviews -n shop", "set reviews REVISION -n shop"]


def test_the_previous_stable_revision_is_the_newest_that_was_promoted_away() -> None:
    history = (ABORTED, PROMOTED, PROMOTED.model_copy(update={"stable_revision": "v0"}))
    seen = subject.read(manifest(STABLE.model_copy(update={"history": history})))

    assert sentences.previous_stable(seen) == "v1"


def test_a_rollout_fits_one_line_of_a_log() -> None:
    assert sentences.line(subject.read(manifest(PROGRESSING))) == (
        "Progressing   25 %  25 % of reviews goes to v3 (step 2 of 4); "
        "a pause at 12:00:40 UTC if latency passes."
    )


def test_an_approval_is_a_rung_that_ends_when_people_say_so() -> None:
    asking = STATES["approval"]
    assert asking.run is not None
    alone = asking.run.model_copy(update={"approvals": ()})

    assert sentences.rung_text(asking.run.plan.strategy.steps[2]) == "approval"
    assert sentences.due_at(asking.run) is None
    assert sentences.wanting(asking.run) == ()
    assert next_of(asking) == "50 % of the traffic, when somebody approves"
    assert next_of(asking.model_copy(update={"run": alone})) == (
        "50 % of the traffic, when 2 more people approve"
    )
    assert next_of(STATES["progressing"]).startswith("an approval in 40s")


def test_a_step_that_asks_for_approval_is_approved_or_rejected_and_not_promoted() -> None:
    found = sentences.remedies(subject.read(manifest(STATES["approval"])))

    assert [remedy.command.split()[1] for remedy in found] == [
        "approve",
        "reject",
        "promote",
        "pause",
        "abort",
    ]
    assert found[2].command == "rollout promote reviews --full -n shop"
