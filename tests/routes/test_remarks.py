"""Which of Istio's warnings about a VirtualService are our own doing."""

from __future__ import annotations

from typing import Any

import pytest

from rollout.routes import names, remarks

COPY = names.named("shop/reviews", kind=names.COPY, label="primary")
DUPLICATE = "duplicate/overlapping match in rule"
COVERED = "(only the last rule can have no matches)"
DEPRECATED = 'using deprecated setting "mirrorPercent", use "mirrorPercentage" instead'


def told(sentence: str, *routes: str | None) -> bool:
    http: list[Any] = [{} if name is None else {"name": name} for name in routes]
    return remarks.worth_telling({"spec": {"http": http}}, [sentence]) == (sentence,)


@pytest.mark.parametrize(
    "sentence",
    [
        f'virtualService rule "primary" not used {COVERED}',
        f"virtualService rule #2 not used {COVERED}",
        'virtualService rule "last" not used (route without matches defined before)',
        f'virtualService rule "{COPY}" not used (all matches used by prior rules)',
        f'virtualService rule "primary" match #0 is not used ({DUPLICATE} "{COPY}")',
        f'virtualService rule "last" match /a is not used ({DUPLICATE} / on "{COPY}")',
    ],
)
def test_that_our_routes_take_what_others_got_is_not_told(sentence: str) -> None:
    assert not told(sentence, "first", COPY, None, "primary", "last")


@pytest.mark.parametrize(
    "sentence",
    [
        DEPRECATED,
        f"{DEPRECATED} in {COPY}",
        f'virtualService rule "first" not used {COVERED}',
        "virtualService rule #0 not used (all matches used by prior rules)",
        f'virtualService rule "first" match "a" is not used ({DUPLICATE} "zeroth")',
    ],
)
def test_what_else_is_wrong_is_told_with_our_routes_there(sentence: str) -> None:
    assert told(sentence, "first", COPY, "primary")


def test_without_our_routes_every_warning_is_told() -> None:
    assert told(f'virtualService rule "primary" not used {COVERED}', "rollout.dev/mine", "primary")
    assert told(f'virtualService rule "primary" not used {COVERED}', "first", "primary")
    assert told(f"virtualService rule #1 not used {COVERED}", "first", None)


@pytest.mark.parametrize("spec", [None, {}, {"http": None}, {"http": ["x", {"name": 7}]}])
def test_a_manifest_in_a_strange_shape_hides_no_warning(spec: Any) -> None:
    manifest = {} if spec is None else {"spec": spec}
    sentence = f'virtualService rule "primary" not used {COVERED}'

    assert remarks.worth_telling(manifest, [sentence]) == (sentence,)
