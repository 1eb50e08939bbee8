"""The last words of the demo."""

from __future__ import annotations

from dataclasses import replace

from rollout.views import closing
from rollout.views.closing import Ended
from rollout.views.glyphs import UNICODE
from rollout.views.measure import Rung
from rollout.views.screen import Act
from tests.views.samples import printed

ROLLED_BACK = Ended(
    act=Act(title="a bad version", stable="v2", canary="v3", state="done"),
    outcome="RolledBack",
    because="errors: 12 % of 50 canary requests failed",
    seconds=11.234567,
    rungs=(
        Rung(weight=1, requests=1642, observed_percent=0.924),
        Rung(weight=5, requests=0, observed_percent=None),
    ),
    canary_requests=1069,
    canary_failures=6,
    outside_failures=0,
    reaction_seconds=0.19876,
)


def test_people_read_weights_failures_and_how_quick_it_was() -> None:
    assert (
        printed(closing.closing([ROLLED_BACK], glyphs=UNICODE))
        == """\
v2 → v3  RolledBack after 11s; no traffic 0.20 s after the sample that failed
  weight (seen in traffic): 1 % (0.9), 5 % (?)
  1,069 requests to v3, 6 failed; 0 failed elsewhere"""
    )


def test_after_an_abort_the_time_is_counted_from_the_command() -> None:
    aborted = replace(ROLLED_BACK, outcome="Aborted")

    assert "0.20 s after the command" in printed(closing.closing([aborted], glyphs=UNICODE))


def test_a_promotion_has_no_reaction() -> None:
    promoted = replace(ROLLED_BACK, outcome="Promoted", reaction_seconds=None)

    text = printed(closing.closing([promoted], glyphs=UNICODE))

    assert text.startswith("v2 → v3  Promoted after 11s\n")


def test_programs_read_a_document_of_versions_and_runs() -> None:
    document = closing.summary([ROLLED_BACK], versions={"envoy": "1.40.0"})

    assert document == {
        "versions": {"envoy": "1.40.0"},
        "runs": [
            {
                "revision": "v3",
                "outcome": "RolledBack",
                "because": "errors: 12 % of 50 canary requests failed",
                "durationSeconds": 11.235,
                "steps": [
                    {"weight": 1, "observedWeight": 0.924, "requests": 1642},
                    {"weight": 5, "observedWeight": None, "requests": 0},
                ],
                "canaryRequests": 1069,
                "canaryFailures": 6,
                "failuresOutsideCanary": 0,
                "reactionSeconds": 0.1988,
            }
        ],
    }


def test_a_reaction_that_was_not_needed_is_null() -> None:
    document = closing.summary([replace(ROLLED_BACK, reaction_seconds=None)], versions={})

    assert document["runs"][0]["reactionSeconds"] is None
