"""What list, get, why and history print."""

from __future__ import annotations

import json

import pytest
import yaml

from rollout.api.meta import ROLLOUT, Manifest
from rollout.base import errors
from tests.cli.desk import REVIEWS, Desk
from tests.views.samples import PROGRESSING, STABLE, WAITING, manifest


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


def test_list_shows_those_that_are_as_asked_for(desk: Desk) -> None:
    desk.put(manifest(WAITING, name="ratings", labels={"team": "books"}))
    desk.put(manifest(STABLE, name="details", revision="v2"))

    def names(*words: str) -> list[str]:
        lines = desk.type("list", *words).stdout.splitlines()[1:]
        return [line.split()[0] for line in lines]

    assert names("--waiting") == ["ratings"]
    assert names("--phase", "stable", "--phase", "Progressing") == ["details", "reviews"]
    assert names("-l", "team=books") == ["ratings"]
    assert names("-l", "team!=books", "--phase", "Stable") == ["details"]


def test_a_list_without_any_that_is_as_asked_for_says_so(desk: Desk) -> None:
    result = desk.type("list", "--waiting")

    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "namespace shop has no Rollout that is as asked for\n"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("-l", "a b"), "'a b' is not a label selector such as team=a,tier!=db"),
        (("--phase", "Waitin"), "Waitin is no phase; did you mean Waiting?"),
        (("--phase", "x"), "x is no phase; use Pending, Stable, Preparing"),
    ],
)
def test_a_filter_that_cannot_be_read_is_wrong_usage(
    desk: Desk, words: tuple[str, ...], told: str
) -> None:
    result = desk.type("list", *words)

    assert result.exit_code == 2
    assert told in result.stderr


def test_list_watch_in_a_pipe_prints_a_line_for_each_that_changed_came_or_went(
    desk: Desk,
) -> None:
    desk.later = [
        lambda: desk.put(manifest(STABLE, name="details", revision="v2")),
        lambda: desk.status(WAITING),
        desk.cluster.break_watches,
        lambda: desk.cluster.edit(ROLLOUT, REVIEWS, _label),
        lambda: desk.cluster.remove(ROLLOUT, REVIEWS),
        _interrupt,
    ]

    result = desk.type("list", "--watch")

    assert [line.split()[2:4] for line in result.stdout.splitlines()] == [
        ["shop/reviews", "Progressing"],
        ["shop/details", "Stable"],
        ["shop/reviews", "Waiting"],
        ["shop/reviews", "no"],
    ]


def test_list_watch_for_programs_prints_one_document_a_line(desk: Desk) -> None:
    desk.later = [lambda: desk.status(WAITING), _interrupt]

    result = desk.type("list", "--watch", "-o", "json")

    phases = [json.loads(line)["status"]["phase"] for line in result.stdout.splitlines()]
    assert phases == ["Progressing", "Waiting"]


def test_who_may_not_look_is_told_which_role_lets_them(desk: Desk) -> None:
    message = (
        'rollouts.rollout.dev is forbidden: User "alice" cannot list resource "rollouts" in API '
        'group "rollout.dev" in the namespace "shop"'
    )
    desk.cluster.faults.refuse(
        errors.Denied("Rollout", status_code=403, message=message), verb="list"
    )

    result = desk.type("list")

    assert result.stderr == (
        "rollout: alice may not list rollouts in namespace shop; it takes the verb list on "
        "rollouts.rollout.dev, which the ClusterRole rollout-viewer has\n"
    )


def test_an_api_server_that_is_away_is_told_with_how_to_name_another(desk: Desk) -> None:
    away = errors.Unreachable("the API server at https://10.0.0.1:6443", why="connection refused")
    desk.cluster.faults.refuse(away, verb="list")

    result = desk.type("list")

    assert result.stderr == (
        "rollout: the API server at https://10.0.0.1:6443 cannot be reached: connection refused; "
        "if another cluster is meant name it with --context or --kubeconfig\n"
    )


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


def _interrupt() -> None:
    """The person has seen enough."""
    raise KeyboardInterrupt


def _label(manifest: Manifest) -> None:
    manifest["metadata"]["labels"] = {"a": "b"}
