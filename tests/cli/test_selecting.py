"""Which Rollouts a list shows."""

from __future__ import annotations

import pytest

from rollout.api.phase import Phase
from rollout.base import errors
from rollout.cli import selecting
from rollout.cli.selecting import Selection
from tests.views.samples import PROGRESSING, WAITING, manifest

LABELS = {"team": "shop", "tier": "web"}


@pytest.mark.parametrize(
    ("selector", "fits"),
    [
        ("team=shop", True),
        ("team==shop,tier=web", True),
        ("team=shop,tier=db", False),
        ("team!=other", True),
        ("owner!=me", True),
        ("team", True),
        ("owner", False),
        ("!owner", True),
        ("! team", False),
        ("tier in (web, api)", True),
        ("tier in (db),team", False),
        ("tier notin (db)", True),
        ("owner notin (me)", True),
        ("team=", False),
        ("", True),
    ],
)
def test_a_selector_means_what_it_means_to_kubectl(selector: str, fits: bool) -> None:
    found = selecting.requirements(selector)

    assert all(requirement.holds(LABELS) for requirement in found) is fits


@pytest.mark.parametrize("selector", ["team=a b", "=shop", "tier in web", "a>1"])
def test_what_is_no_selector_is_refused_with_an_example(selector: str) -> None:
    with pytest.raises(errors.BadQuantity, match="team=a,tier!=db"):
        selecting.requirements(selector)


def test_a_selection_wants_all_that_it_says() -> None:
    labelled = manifest(WAITING, labels=LABELS)
    selection = Selection(
        phases=[Phase.WAITING], waiting=True, labels=selecting.requirements("team=shop")
    )

    assert selection.takes(labelled)
    assert not selection.takes(manifest(WAITING))
    assert not selection.takes(manifest(PROGRESSING, labels=LABELS))
    assert not selection.is_all
    assert Selection().is_all
