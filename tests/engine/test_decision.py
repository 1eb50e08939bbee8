"""Texts that fit where they go."""

from __future__ import annotations

from rollout.api.status import MESSAGE_LENGTH_MAX
from rollout.engine.decision import cut


def test_a_text_that_fits_is_left_as_it_is() -> None:
    text = "x" * MESSAGE_LENGTH_MAX

    assert cut(text) == text


def test_a_text_that_is_too_long_ends_with_dots_and_fits() -> None:
    shorter = cut("x" * (MESSAGE_LENGTH_MAX + 1))

    assert len(shorter) == MESSAGE_LENGTH_MAX
    assert shorter.endswith("x…")
