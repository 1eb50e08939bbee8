"""Matches: which requests a managed route takes."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from rollout.api.meta import Model

NAME_PATTERN = r"[A-Za-z0-9_][-A-Za-z0-9_.]{0,127}"
"""The name of a header or a cookie, from end to end: of the tokens of RFC 9110 those that a regular
expression takes as they are but for the dot, and without the pseudo-headers that Istio refuses."""

HEADERS_MAX = 8
"""Headers of one match."""

Text = Annotated[str, Field(min_length=1, max_length=512)]


class TextMatch(Model):
    """A text that is given exactly, by its beginning, or by a regular expression; one of them."""

    exact: Text | None = None
    """The text is this."""
    prefix: Text | None = None
    """The text begins with this."""
    regex: Text | None = None
    """The whole text fulfils this expression, in the syntax of RE2."""


class Match(Model):
    """Requests that fulfil all that is named here."""

    headers: Annotated[dict[str, TextMatch], Field(max_length=HEADERS_MAX, default_factory=dict)]
    """What headers must say, by the header's name; all of them."""
    cookies: Annotated[dict[str, TextMatch], Field(max_length=1, default_factory=dict)]
    """What a cookie must say, by its name; one at most, since Envoy compares the Cookie header
    once."""


TEXT_MATCH_KINDS = ("exact", "prefix", "regex")
"""The fields of `TextMatch` of which exactly one is given."""
