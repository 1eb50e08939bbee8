"""The demo's screen."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rich.console import Console

from rollout.views import screen, subject
from rollout.views.glyphs import ASCII, UNICODE
from rollout.views.screen import Act, Scene, VersionRow
from tests.views.samples import NOW, PROGRESSING, ROLLED_BACK, manifest

SCENE = Scene(
    now=NOW,
    elapsed_seconds=73,
    rate_hertz=350,
    acts=(
        Act(
            title="a healthy version",
            stable="v1",
            canary="v2",
            state="done",
            result="promoted after 30s",
        ),
        Act(title="a bad version", stable="v2", canary="v3", state="here"),
        Act(title="a person's doubts", stable="v2", canary="v4"),
    ),
    subject=subject.read(manifest(PROGRESSING)),
    written_percent=25,
    observed_percent=24.1,
    written_line=[0, 1, 5, 25],
    observed_line=[0, 1, 5, 24],
    versions=(
        VersionRow(
            name="v2", role="stable", rate_hertz=270, requests=12003, failures=0, failing_percent=0
        ),
        VersionRow(
            name="v3", role="canary", rate_hertz=70, requests=203, failures=14, failing_percent=7.9
        ),
        VersionRow(name="v4", role="", rate_hertz=0, requests=0, failures=0, failing_percent=None),
    ),
    log=[(NOW, "v3 is asked for"), (NOW, "v3 begins to fail")],
    hint="try: kill -9 4711",
)


def drawn(scene: Scene, *, width: int = screen.WIDTH, height: int = screen.HEIGHT) -> list[str]:
    console = Console(width=width, height=height, color_system=None, highlight=False)
    with console.capture() as captured:
        console.print(
            screen.screen(scene, width=width, height=height, glyphs=UNICODE), height=height
        )
    return captured.get().splitlines()


def test_the_screen_shows_acts_weights_versions_gates_and_what_is_next() -> None:
    text = "\n".join(drawn(SCENE))

    for words in (
        "350 requests a second",
        "01:13",
        "ok  v1 → v2  a healthy version",
        " >  v2 → v3  a bad version",
        "1 % ✓ ─ [25 %] ─ pause",
        "a pause at 12:00:40 UTC if latency passes.",
        "next  a pause in 40s",
        "24.1 %",
        "7.9 %",
        "0.2 % of 1,204 requests failed",
        "12:00:00  v3 begins to fail",
        "try: kill -9 4711",
    ):
        assert words in text


@pytest.mark.parametrize(("width", "height"), [(100, 32), (80, 32), (80, 24), (100, 27)])
def test_the_screen_fits_the_terminal(width: int, height: int) -> None:
    lines = drawn(SCENE, width=width, height=height)

    assert len(lines) == height
    assert max(len(line) for line in lines) <= width


def test_on_a_narrow_terminal_no_label_or_number_is_cut() -> None:
    text = "\n".join(drawn(SCENE, width=80))

    assert "in traffic" in text
    assert "v3 canary" in text
    assert "12,003" in text


def test_on_a_low_terminal_the_log_goes_and_the_rest_stays() -> None:
    text = "\n".join(drawn(SCENE, height=24))

    assert "what happened" not in text
    assert "what callers get" in text


def test_a_long_log_shows_its_end_and_no_hint() -> None:
    scene = replace(SCENE, log=[(NOW, f"line {i}") for i in range(50)])

    text = "\n".join(drawn(scene))

    assert "line 49" in text
    assert "line 30" not in text
    assert "kill -9" not in text


def test_a_very_long_sentence_is_cut_and_not_wrapped() -> None:
    status = PROGRESSING.model_copy(update={"message": "word " * 100})
    scene = replace(SCENE, subject=subject.read(manifest(status)))

    assert len(drawn(scene)) == screen.HEIGHT


def test_the_screen_can_be_drawn_before_anything_was_seen() -> None:
    scene = replace(SCENE, subject=None, observed_percent=None, versions=(), log=[])

    text = "\n".join(drawn(scene))

    assert "the Rollout is not there yet" in text


def test_a_run_that_was_taken_back_keeps_its_gates_on_the_screen() -> None:
    scene = replace(SCENE, subject=subject.read(manifest(ROLLED_BACK)))

    text = "\n".join(drawn(scene))

    assert "RolledBack" in text
    assert "Fail" in text


def test_the_screen_can_be_drawn_with_plain_signs() -> None:
    console = Console(width=100, height=32, color_system=None)

    with console.capture() as captured:
        console.print(screen.screen(SCENE, width=100, height=32, glyphs=ASCII))

    assert "v2 -> v3" in captured.get()
