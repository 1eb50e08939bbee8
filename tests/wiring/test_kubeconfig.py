"""What is read from a kubeconfig, and the sentences when it cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from rollout.base import errors
from rollout.wiring import kubeconfig
from rollout.wiring.kubeconfig import Whereabouts

FIRST = """\
current-context: prod
contexts:
- {name: prod, context: {cluster: a, user: alice, namespace: shop}}
- {name: bare, context: {cluster: a, user: bob}}
"""

SECOND = """\
current-context: other
contexts:
- {name: prod, context: {cluster: b, user: mallory, namespace: evil}}
- {name: staging, context: {cluster: b, user: carol, namespace: test}}
"""


@pytest.fixture
def paths(tmp_path: Path) -> str:
    (tmp_path / "first").write_text(FIRST)
    (tmp_path / "second").write_text(SECOND)
    return f"{tmp_path}/first:{tmp_path}/second"


def test_the_current_context_says_namespace_and_user(paths: str) -> None:
    where = kubeconfig.read(paths)

    assert where == Whereabouts(context="prod", namespace="shop", user="alice")


def test_a_context_of_a_later_file_can_be_named(paths: str) -> None:
    where = kubeconfig.read(paths, context="staging")

    assert (where.namespace, where.user) == ("test", "carol")


def test_a_context_without_namespace_means_default(paths: str) -> None:
    assert kubeconfig.read(paths, context="bare").namespace == "default"


def test_an_unknown_context_is_answered_with_the_nearest(paths: str) -> None:
    with pytest.raises(errors.UnknownName) as caught:
        kubeconfig.read(paths, context="stagign")

    assert str(caught.value) == "context stagign does not exist; did you mean staging?"


def test_a_context_that_is_like_no_other_is_answered_with_those_there_are(paths: str) -> None:
    with pytest.raises(errors.UnknownName, match="has bare, prod, staging"):
        kubeconfig.read(paths, context="qqqq")


def test_a_missing_file_is_one_sentence_with_a_way_out(tmp_path: Path) -> None:
    with pytest.raises(errors.BadInput, match=r"there is no such kubeconfig; give one with"):
        kubeconfig.read(str(tmp_path / "none"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "cannot be read as a kubeconfig"),
        ("- a", "it holds no object"),
        ("contexts: []", "no current-context is set"),
    ],
)
def test_a_broken_file_is_one_sentence(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "broken").write_text(text)

    with pytest.raises(errors.BadInput, match=words):
        kubeconfig.read(str(tmp_path / "broken"))


def test_a_file_that_is_far_too_large_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.truncate(kubeconfig.FILE_BYTES_MAX + 1)

    with pytest.raises(errors.BadInput, match="too large"):
        kubeconfig.read(str(tmp_path / "large"))
