"""A Rollout's manifest as the views read it."""

from __future__ import annotations

from rollout.api.phase import Phase
from rollout.views import subject
from tests.views.samples import PROGRESSING, ROLLED_BACK, manifest


def test_a_manifest_without_status_is_pending_and_unseen() -> None:
    seen = subject.read(manifest())

    assert (seen.status.phase, seen.unseen, seen.run, seen.active) == (
        Phase.PENDING,
        True,
        None,
        None,
    )


def test_a_wrong_spec_can_be_shown_all_the_same() -> None:
    document = manifest()
    document["spec"] = {"hots": "reviews"}

    seen = subject.read(document)

    assert (seen.host, seen.revision) == ("", "")


def test_a_run_that_is_over_is_remembered_and_not_active() -> None:
    seen = subject.read(manifest(ROLLED_BACK))

    assert (seen.run is None, seen.active) == (False, None)


def test_an_edit_that_the_controller_has_not_seen_is_unseen() -> None:
    assert not subject.read(manifest(PROGRESSING)).unseen
    assert subject.read(manifest(PROGRESSING, generation=3)).unseen


def test_the_reason_of_the_revision_is_read() -> None:
    document = manifest(annotations={subject.REASON_ANNOTATION: "ticket 4711"})

    assert subject.read(document).asked_because == "ticket 4711"
