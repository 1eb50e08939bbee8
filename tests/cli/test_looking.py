"""What list, get, why and history print."""

from __future__ import annotations

import json

import pytest
import yaml

from rollout.api.meta import ROLLOUT, Manifest
from tests.cli.desk import REVIEWS, Desk
from tests.views.samples import PROGRESSING, STABLE, manifest


@pytest.fixture
def desk() -> Desk:
    desk = Desk()
    desk.put(manifest(PROGRESSING))
    return desk


def test_list_in_a_pipe_has_one_line_for_each_rollout(desk: Desk) -> None:
    desk.put(manifest(STABLE, name="ratings", revision="v2"))

    result = desk.type("list")

    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["NAME", "ratings", "reviews"]
    assert lines[2].endswith("a pause at 12:00:40 UTC if latency passes.")


def test_list_of_all_namespaces_names_them(desk: Desk) -> None:
    desk.put(manifest(STABLE, name="ratings", namespace="other"))

    result = desk.type("list", "-A")

    assert [line.split()[0] for line in result.stdout.splitlines()[1:]] == [
        "other/ratings",
        "shop/reviews",
    ]


def test_list_of_an_empty_namespace_says_so_and_is_no_error(desk: Desk) -> None:
    result = desk.type("list", "-n", "empty")

    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "namespace empty has no Rollout\n"


def test_options_may_stand_before_the_verb(desk: Desk) -> None:
    result = desk.type("-n", "empty", "list")

    assert result.stderr == "namespace empty has no Rollout\n"


def test_list_for_programs_is_a_list_of_objects_with_their_status(desk: Desk) -> None:
    result = desk.type("list", "-o", "json")

    document = json.loads(result.stdout)
    assert document["kind"] == "List"
    assert document["items"][0]["kind"] == "Rollout"
    assert document["items"][0]["status"]["run"]["weight"] == 25


def test_get_for_programs_is_the_object_with_its_status(desk: Desk) -> None:
    result = desk.type("get", "reviews", "-o", "yaml")

    document = yaml.safe_load(result.stdout)
    assert (document["apiVersion"], document["kind"]) == ("rollout.dev/v1alpha1", "Rollout")
    assert document["status"]["phase"] == "Progressing"


def test_get_shows_the_card(desk: Desk) -> None:
    result = desk.type("get", "reviews")

    assert result.stdout.startswith("shop/reviews  Progressing  v2 → v3\n")
    assert all(len(line) <= 80 for line in result.stdout.splitlines())


def test_why_ends_with_commands_that_can_be_pasted(desk: Desk) -> None:
    result = desk.type("why", "reviews")

    assert "  rollout abort reviews -n shop " in result.stdout


def test_history_names_who_ended_a_run(desk: Desk) -> None:
    result = desk.type("history", "reviews")

    assert "alice@example.com" in result.stdout
    assert "the controller" in result.stdout


def test_history_for_programs_is_a_list_of_runs(desk: Desk) -> None:
    result = desk.type("history", "reviews", "-o", "json")

    assert [run["outcome"] for run in json.loads(result.stdout)] == ["Aborted", "Promoted"]


def test_a_misspelt_name_is_answered_with_the_nearest(desk: Desk) -> None:
    result = desk.type("get", "revews")

    assert result.exit_code == 1
    assert result.stderr == ("rollout: Rollout shop/revews does not exist; did you mean reviews?\n")


def test_a_name_that_is_like_no_other_is_answered_with_those_there_are(desk: Desk) -> None:
    result = desk.type("get", "qqqqqq")

    assert result.stderr == (
        "rollout: Rollout shop/qqqqqq does not exist; namespace shop has reviews\n"
    )


def test_a_cluster_without_our_crds_is_told_how_to_get_them(desk: Desk) -> None:
    desk.cluster.uninstall(ROLLOUT)

    result = desk.type("list")

    assert result.exit_code == 1
    assert result.stderr == (
        "rollout: the CRD of Rollout does not exist; "
        "install it with `rollout crds | kubectl apply -f -`\n"
    )


def test_watch_in_a_pipe_prints_a_line_when_something_changes_until_it_is_deleted(
    desk: Desk,
) -> None:
    desk.later = [
        lambda: desk.status(STABLE),
        lambda: desk.cluster.edit(ROLLOUT, REVIEWS, _label),
        lambda: desk.cluster.remove(ROLLOUT, REVIEWS),
    ]

    result = desk.type("get", "reviews", "--watch")

    assert [line.split()[2] for line in result.stdout.splitlines()] == ["Progressing", "Stable"]
    assert result.stderr == "reviews was deleted\n"


def test_watch_goes_on_when_the_stream_breaks(desk: Desk) -> None:
    desk.later = [
        desk.cluster.break_watches,
        lambda: desk.status(STABLE),
        desk.cluster.forget_history,
        desk.cluster.end_watches,
        lambda: desk.status(PROGRESSING),
        lambda: desk.cluster.remove(ROLLOUT, REVIEWS),
    ]

    result = desk.type("get", "reviews", "--watch")

    phases = [line.split()[2] for line in result.stdout.splitlines()]
    assert phases == ["Progressing", "Stable", "Progressing"]


def test_watch_for_programs_prints_one_document_a_line(desk: Desk) -> None:
    desk.later = [
        lambda: desk.status(STABLE),
        lambda: desk.cluster.remove(ROLLOUT, REVIEWS),
    ]

    result = desk.type("get", "reviews", "--watch", "-o", "json")

    phases = [json.loads(line)["status"]["phase"] for line in result.stdout.splitlines()]
    assert phases == ["Progressing", "Stable"]


def _label(manifest: Manifest) -> None:
    manifest["metadata"]["labels"] = {"a": "b"}
