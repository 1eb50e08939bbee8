"""Whom a Rollout tells, and what a manifest may say of it."""

from __future__ import annotations

import pytest

from rollout.api.notify import News, Notify
from rollout.api.reading import read
from rollout.base.errors import BadManifest


def test_a_channel_and_the_kinds_of_news_are_enough() -> None:
    document = {"slack": {"channel": "#deploys", "news": ["Started", "Promoted"]}}

    found = read(Notify, document, at="spec.notify")

    assert found.slack is not None
    assert found.slack.news == (News.STARTED, News.PROMOTED)
    assert found.webhook is None


def test_without_a_choice_everything_is_told() -> None:
    found = read(Notify, {"webhook": {"url": "https://hooks.example.com/x"}}, at="spec.notify")

    assert found.webhook is not None
    assert found.webhook.news is None


@pytest.mark.parametrize("url", ["ftp://hooks.example.com", "hooks.example.com", "https://a b"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(BadManifest, match="url"):
        read(Notify, {"webhook": {"url": url}}, at="spec.notify")


def test_news_that_nobody_knows_is_answered_with_the_known_ones() -> None:
    with pytest.raises(BadManifest, match="Promoted"):
        read(Notify, {"slack": {"channel": "C1", "news": ["Done"]}}, at="spec.notify")
