"""Which warnings are told, and how often."""

from __future__ import annotations

from rollout.api.meta import Key
from rollout.controller.warned import ADMISSION_WARNING, WARNINGS_COUNT_MAX, Warned

KEY = Key("shop", "reviews")
OTHER = Key("shop", "ratings")
SUBJECT = "VirtualService shop/reviews"


def hear(warned: Warned, *sentences: str, run: str = "1", key: Key = KEY) -> list[str]:
    warned.hear(key, run=run, subject=SUBJECT, sentences=sentences)
    return [happening.message for happening in warned.take(key)]


def test_a_warning_names_what_was_written_and_warns() -> None:
    warned = Warned()
    warned.hear(KEY, run="1", subject=SUBJECT, sentences=("it is old",))

    (told,) = warned.take(KEY)

    assert (told.type, told.reason) == ("Warning", ADMISSION_WARNING)
    assert told.message == "VirtualService shop/reviews was written, with a warning: it is old"


def test_each_is_told_once_in_a_run_and_again_in_the_next() -> None:
    warned = Warned()

    told = [len(hear(warned, "a", "b", run=run)) for run in ("1", "1", "2", "2")]

    assert told == [2, 0, 2, 0]


def test_what_was_not_taken_waits_and_is_taken_once() -> None:
    warned = Warned()
    warned.hear(KEY, run="1", subject=SUBJECT, sentences=("a",))
    warned.hear(KEY, run="1", subject=SUBJECT, sentences=("a", "b"))

    assert len(warned.take(KEY)) == 2
    assert warned.take(KEY) == []


def test_whoever_makes_up_a_new_one_each_time_is_not_told_of_for_ever() -> None:
    warned = Warned()

    told = [one for number in range(50) for one in hear(warned, f"warning {number}")]

    assert len(told) == WARNINGS_COUNT_MAX


def test_rollouts_do_not_hear_for_each_other_and_one_that_is_gone_is_forgotten() -> None:
    warned = Warned()
    hear(warned, "a")

    assert len(hear(warned, "a", key=OTHER)) == 1
    warned.forget(KEY)
    assert len(hear(warned, "a")) == 1
    assert len(hear(warned, "a", key=OTHER)) == 0
