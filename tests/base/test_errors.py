"""The tree of errors is the one its docstring draws; every error says what is wrong with what."""

from __future__ import annotations

import pytest

from rollout.base import errors

SAMPLES: dict[str, errors.RolloutError] = {
    "BadQuantity": errors.BadQuantity("1mfoo", wanted="a duration such as 90s"),
    "BadManifest": errors.BadManifest(
        subject="shop/checkout", field="spec.steps[2].hold", problem="is 5", remedy="use 5s"
    ),
    "UnknownName": errors.UnknownName(what="Rollout shop/revews", remedy="did you mean reviews?"),
    "OutOfPlace": errors.OutOfPlace(
        subject="shop/reviews", why="no run is in progress", remedy="set another revision"
    ),
    "Unanswered": errors.Unanswered(
        what="RolloutAction shop/reviews-01", waited_seconds=30, remedy="is the controller running?"
    ),
    "Conflict": errors.Conflict("Rollout shop/checkout"),
    "Unreachable": errors.Unreachable("Prometheus", why="no answer within 5 s"),
    "Overloaded": errors.Overloaded("the API server", retry_after_seconds=2.5),
    "Uncertain": errors.Uncertain(
        "Slack", what="chat.postMessage in C0123", why="no answer within 10 s"
    ),
    "ChatRefused": errors.ChatRefused(
        "chat.postMessage in C0123", code="not_in_channel", fault="setup", remedy="invite the app"
    ),
    "HookRefused": errors.HookRefused(
        "https://hooks.example.com/rollout", status_code=410, told="no such hook"
    ),
    "NotFound": errors.NotFound("VirtualService shop/checkout"),
    "Gone": errors.Gone("Rollouts"),
    "Denied": errors.Denied("shop/checkout", status_code=403, message="not allowed"),
    "CannotStart": errors.CannotStart("Envoy", why="it ended at once"),
    "BrokenAnswer": errors.BrokenAnswer("Prometheus", why="no JSON"),
}

SENTENCES = {
    "BadQuantity": "'1mfoo' is not a duration such as 90s",
    "BadManifest": "shop/checkout: spec.steps[2].hold is 5; use 5s",
    "UnknownName": "Rollout shop/revews does not exist; did you mean reviews?",
    "OutOfPlace": "shop/reviews: no run is in progress; set another revision",
    "Unanswered": (
        "RolloutAction shop/reviews-01 has had no answer for 30 s; is the controller running?"
    ),
    "Conflict": "Rollout shop/checkout was changed by somebody else meanwhile",
    "Unreachable": "Prometheus cannot be reached: no answer within 5 s",
    "Overloaded": "the API server is overloaded and asks to wait 2.5 s",
    "Uncertain": (
        "Slack may have done chat.postMessage in C0123, and may not: no answer within 10 s"
    ),
    "ChatRefused": ("the chat refused chat.postMessage in C0123: not_in_channel; invite the app"),
    "HookRefused": "https://hooks.example.com/rollout answered 410: no such hook",
    "NotFound": "VirtualService shop/checkout does not exist",
    "Gone": "the history of Rollouts does not go back that far",
    "Denied": "writing shop/checkout was refused: not allowed",
    "CannotStart": "Envoy did not come up: it ended at once",
    "BrokenAnswer": "Prometheus gave an answer that cannot be used: no JSON",
}


def drawn_tree(docstring: str) -> dict[str, str]:
    """Child to parent, as the lines of a drawn tree say."""
    path: list[str] = []
    parents: dict[str, str] = {}
    for line in docstring.partition("::")[2].splitlines():
        bare = line.lstrip(" │├└─")
        if not bare or not bare[0].isupper() or (path and "──" not in line):
            continue
        depth = (len(line) - len(bare) - 4) // 4
        path[depth:] = [bare.split()[0]]
        if depth:
            parents[path[depth]] = path[depth - 1]
    return parents


def real_tree(root: type[errors.RolloutError]) -> dict[str, str]:
    """Child to parent, as the classes are."""
    found: dict[str, str] = {}
    for child in root.__subclasses__():
        if child.__module__ != errors.__name__:
            continue  # a house test sees to errors that grow elsewhere
        found[child.__name__] = root.__name__
        found.update(real_tree(child))
    return found


def leaves() -> list[str]:
    parents = real_tree(errors.RolloutError)
    return sorted(parents.keys() - set(parents.values()))


def test_the_tree_in_the_docstring_is_the_tree_of_the_classes() -> None:
    assert drawn_tree(errors.__doc__ or "") == real_tree(errors.RolloutError)


def test_a_tree_that_was_drawn_otherwise_would_be_noticed() -> None:
    drawing = (
        "::\n\n    Root\n    ├── Branch   words\n    │   └── Leaf   words\n    └── Other    words\n"
    )

    assert drawn_tree(drawing) == {"Branch": "Root", "Leaf": "Branch", "Other": "Root"}


def test_every_leaf_of_the_tree_has_a_sample() -> None:
    assert sorted(SAMPLES) == leaves()


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_an_error_is_one_sentence_that_names_its_object(name: str) -> None:
    sentence = str(SAMPLES[name])

    assert sentence == SENTENCES[name]
    assert "\n" not in sentence
    assert not sentence.endswith(".")


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_an_error_keeps_the_data_its_sentence_is_made_of(name: str) -> None:
    error = SAMPLES[name]

    kept = [
        str(value)
        for name, value in vars(error).items()
        if isinstance(value, str) and value and name != "fault"  # whose it is tells the program
    ]

    assert kept
    assert all(value in str(error) for value in kept)


def test_a_manifest_without_a_subject_begins_with_the_field() -> None:
    error = errors.BadManifest(field="spec.host", problem="is missing", remedy="add it")

    assert str(error) == "spec.host is missing; add it"


def test_a_person_is_told_no_remedy_when_there_is_none() -> None:
    assert str(errors.UnknownName(what="Rollout shop/x")) == "Rollout shop/x does not exist"
    assert (
        str(errors.OutOfPlace(subject="shop/x", why="the run is over")) == "shop/x: the run is over"
    )


def test_a_process_that_did_not_come_up_shows_its_last_lines() -> None:
    error = errors.CannotStart("Envoy", why="it ended at once", log="bad flag")

    assert str(error) == "Envoy did not come up: it ended at once; its last lines:\nbad flag"


@pytest.mark.parametrize(
    "name", ["Conflict", "Unreachable", "Overloaded", "Uncertain", "Unanswered"]
)
def test_what_may_be_tried_again_is_a_retry(name: str) -> None:
    assert isinstance(SAMPLES[name], errors.Retry)


@pytest.mark.parametrize(
    "name", ["NotFound", "Gone", "Denied", "ChatRefused", "HookRefused", "CannotStart"]
)
def test_what_was_refused_for_good_is_terminal(name: str) -> None:
    assert isinstance(SAMPLES[name], errors.Terminal)
