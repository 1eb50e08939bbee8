"""The program as a whole: help, usage, what it imports."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import fields

import pytest
import yaml

from rollout import settings
from rollout.cli import main, place
from tests.cli.desk import Desk

VERBS = [command.name or "" for command in main.app.registered_commands]


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_alone_it_shows_examples(desk: Desk) -> None:
    result = desk.type()

    assert result.exit_code == 0
    assert "rollout demo" in result.stdout


def test_every_verb_stands_in_a_section_of_the_help_which_fits_80_columns(desk: Desk) -> None:
    lines = desk.type("--help").stdout.splitlines()

    assert {line.split()[0] for line in lines if line.startswith("  ")} >= set(VERBS)
    assert "Steer a run:" in lines
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_each_verb_has_an_example_and_fits_80_columns(desk: Desk, verb: str) -> None:
    result = desk.type(verb, "--help")

    assert "Example" in result.stdout
    assert f"  rollout {verb}" in result.stdout
    assert max(len(line) for line in result.stdout.splitlines()) <= 80


def test_a_misspelt_verb_is_wrong_usage_and_names_the_nearest(desk: Desk) -> None:
    result = desk.type("abrot", "reviews")

    assert result.exit_code == 2
    assert "Did you mean 'abort'?" in result.stderr


def test_help_imports_nothing_that_is_slow() -> None:
    slow = "{'pydantic', 'rich', 'yaml', 'kubernetes_asyncio', 'aiohttp', 'asyncio'}"
    code = (
        "import sys; sys.argv = ['rollout', '--help']\n"
        "from rollout.cli.main import main\n"
        "try: main()\n"
        f"except SystemExit: print('SLOW', sorted({slow} & set(sys.modules)))"
    )

    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert told.stdout.splitlines()[-1] == "SLOW []"


def test_crds_are_documents_that_kubectl_takes(desk: Desk) -> None:
    result = desk.type("crds")

    names = [document["metadata"]["name"] for document in yaml.safe_load_all(result.stdout)]
    assert names == [
        "rollouts.rollout.dev",
        "rolloutactions.rollout.dev",
        "rolloutpolicies.rollout.dev",
        "clusterrolloutpolicies.rollout.dev",
    ]


def test_options_before_the_verb_are_moved_behind_it() -> None:
    assert place.arranged(["-n", "shop", "--context=a", "get", "reviews", "-o", "json"]) == [
        "get",
        "-n",
        "shop",
        "--context=a",
        "reviews",
        "-o",
        "json",
    ]


def test_arguments_without_such_options_stay_as_they_are() -> None:
    assert place.arranged(["--help"]) == ["--help"]
    assert place.arranged(["-n", "shop"]) == ["-n", "shop"]


def test_the_defaults_that_the_controllers_help_tells_are_those_of_the_settings(
    desk: Desk,
) -> None:
    result = desk.type("controller", "--help")

    text = " ".join(result.stdout.split())
    defaults = settings.Settings()
    for words in (
        f"until learnt. Default: {defaults.scrape_interval_seconds:g}s.",
        f"istiod does not tell. Default: {defaults.settle_seconds:g}s.",
        f"status may grow. Default: {defaults.status_refresh_seconds:g}s.",
        f"at one time. Default: {defaults.workers_count}.",
        f"who commands. Default: {defaults.identity_policy}.",
        f"On which port. Default: {defaults.health_port}.",
        f"at the end. Default: {defaults.drain_seconds:g}s.",
        f"How to log. Default: {defaults.log_format}.",
    ):
        assert words in text


def test_every_setting_of_the_controller_has_an_option(desk: Desk) -> None:
    result = desk.type("controller", "--help")

    words = set(result.stdout.split())
    for field in fields(settings.Settings):
        bare = re.sub(r"_(seconds|count|address)$", "", field.name)
        assert "--" + bare.replace("_", "-") in words


def test_a_setting_that_cannot_be_read_is_one_sentence(desk: Desk) -> None:
    result = desk.type("controller", "--settle", "soon")

    assert result.exit_code == 1
    assert result.stderr == (
        "rollout: --settle is 'soon'; use a duration such as 90s, 10m or 1h30m\n"
    )
