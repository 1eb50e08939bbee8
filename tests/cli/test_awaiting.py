"""What ``get --wait`` prints, and its exit status for each ending."""

from __future__ import annotations

import asyncio
import json

import pytest

from rollout.api.meta import ROLLOUT, Manifest
from rollout.api.phase import Outcome, Phase
from rollout.api.status import PastRun, RolloutStatus
from rollout.cli import awaiting
from rollout.cli.awaiting import STATUSES, Log
from rollout.views.awaited import Fate, Told
from rollout.wiring.client import Client
from tests.cli.desk import REVIEWS, Desk
from tests.views.samples import ABORTED, NOW, PROGRESSING, RUN, STABLE, WAITING, manifest
from tests.world.clock import FakeClock
from tests.world.cluster import FakeCluster


@pytest.fixture
def desk() -> Desk:
    desk = Desk()
    desk.put(manifest(PROGRESSING))
    return desk


def ended(outcome: Outcome, because: str, *, phase: Phase = Phase.ROLLED_BACK) -> RolloutStatus:
    """Run 3 is over."""
    past: PastRun = ABORTED.model_copy(update={"id": "3", "outcome": outcome, "because": because})
    run = RUN.model_copy(update={"ended_at": NOW, "weight": 0.0})
    return PROGRESSING.model_copy(
        update={"phase": phase, "run": run, "history": (past, *PROGRESSING.history)}
    )


@pytest.mark.parametrize(
    ("outcome", "status", "words"),
    [
        (Outcome.PROMOTED, 0, "v3 is promoted: seen enough."),
        (Outcome.ROLLED_BACK, 10, "v3 was rolled back: seen enough."),
        (Outcome.ABORTED, 11, "v3 was aborted: seen enough."),
        (Outcome.DELETED, 11, "v3 was aborted: seen enough."),
        (Outcome.SUPERSEDED, 12, "v3 was superseded: seen enough."),
    ],
)
def test_each_ending_has_an_exit_status_of_its_own(
    desk: Desk, outcome: Outcome, status: int, words: str
) -> None:
    desk.later = [lambda: desk.status(ended(outcome, "seen enough"))]

    result = desk.type("get", "reviews", "--wait")

    assert (result.exit_code, result.stdout.splitlines()[-1]) == (status, f"shop/reviews: {words}")


def test_the_exit_statuses_are_what_pipelines_rely_on(desk: Desk) -> None:
    told = desk.type("get", "--help").stdout

    assert sorted(STATUSES.values()) == [0, 10, 11, 12, 13, 14]
    assert all(f"\n  {status:>4}  it " in told for status in STATUSES.values())


def test_a_line_for_each_change_fits_a_pipelines_log(desk: Desk) -> None:
    desk.later = [
        lambda: desk.status(WAITING),
        lambda: desk.status(WAITING.model_copy(update={"message": "counts go on"})),
        lambda: desk.status(ended(Outcome.ABORTED, "rejected by bob@example.com: no notes")),
    ]

    result = desk.type("get", "reviews", "--wait")

    assert (
        result.stdout
        == """\
waits up to 1h for shop/reviews to come to v3; times are UTC
12:00:00  Progressing    25 %  step 2/4: a pause in 40s, if latency then passes
12:00:00  Waiting        25 %  step 3/4: asks (1 of 2) bob@example.com, group...
shop/reviews: v3 was aborted: rejected by bob@example.com: no notes.
"""
    )


def test_what_is_stable_already_is_not_waited_for(desk: Desk) -> None:
    desk.put(manifest(STABLE, revision="v2"))

    result = desk.type("get", "reviews", "--wait")

    assert (result.exit_code, result.stdout) == (
        0,
        "shop/reviews: v2 is promoted: all of reviews is on v2 since 2026-11-23 07:00\n  UTC.\n",
    )


def test_a_run_that_has_yet_to_begin_is_waited_for(desk: Desk) -> None:
    desk.status(STABLE.model_copy(update={"observed_generation": 0}))
    desk.later = [
        lambda: desk.status(PROGRESSING),
        lambda: desk.status(ended(Outcome.PROMOTED, "promoted after 12m")),
    ]

    result = desk.type("get", "reviews", "--wait")

    lines = result.stdout.splitlines()
    assert lines[1].endswith("the controller has yet to look at the edit")
    assert result.exit_code == 0


def test_another_revision_that_is_wanted_meanwhile_ends_the_waiting(desk: Desk) -> None:
    def want_another(document: Manifest) -> None:
        document["spec"]["revision"] = "v4"

    desk.status(STABLE.model_copy(update={"phase": Phase.PENDING}))
    desk.later = [lambda: desk.cluster.edit(ROLLOUT, REVIEWS, want_another)]

    result = desk.type("get", "reviews", "--wait")

    assert result.exit_code == 12
    assert result.stdout.endswith("v3 was superseded: v4 is wanted instead.\n")


def test_what_is_invalid_is_told_at_once(desk: Desk) -> None:
    desk.status(STABLE.model_copy(update={"phase": Phase.INVALID, "message": "spec.host is odd"}))

    result = desk.type("get", "reviews", "--wait")

    assert (result.exit_code, result.stdout) == (
        13,
        "shop/reviews: v3 is stuck: spec.host is odd.\n",
    )


def test_what_is_blocked_when_the_time_is_over_is_stuck(desk: Desk) -> None:
    desk.status(PROGRESSING.model_copy(update={"phase": Phase.BLOCKED, "message": "no subset v3"}))

    result = desk.type("get", "reviews", "--wait", "--timeout", "50ms")

    assert result.exit_code == 13
    assert result.stdout.endswith("v3 is stuck: no subset v3.\n")


def test_a_run_that_waits_for_people_at_the_end_names_what_explains_it(desk: Desk) -> None:
    desk.status(WAITING)

    result = desk.type("get", "reviews", "--wait", "--timeout", "50ms")

    assert result.exit_code == 14
    assert " ".join(result.stdout.split()).endswith(
        "`rollout approve reviews`; the wait of 50ms is over, and it waits for people: "
        "rollout why reviews -n shop."
    )
    assert all(len(line) <= 80 for line in result.stdout.splitlines())


def test_a_run_that_simply_goes_on_is_undecided_at_the_end(desk: Desk) -> None:
    result = desk.type("get", "reviews", "--wait", "--timeout", "50ms")

    assert result.exit_code == 14
    assert "the run goes on" in " ".join(result.stdout.split())


def test_a_rollout_that_is_deleted_was_aborted(desk: Desk) -> None:
    desk.later = [lambda: desk.cluster.remove(ROLLOUT, REVIEWS)]

    result = desk.type("get", "reviews", "--wait")

    assert result.exit_code == 11
    assert result.stdout.endswith("v3 was aborted: the Rollout was deleted.\n")


def test_for_programs_the_final_object_stands_alone_on_standard_output(desk: Desk) -> None:
    desk.later = [lambda: desk.status(ended(Outcome.ROLLED_BACK, "8 % failed"))]

    result = desk.type("get", "reviews", "--wait", "-o", "json")

    assert json.loads(result.stdout)["status"]["phase"] == "RolledBack"
    assert result.stderr.endswith("shop/reviews: v3 was rolled back: 8 % failed.\n")
    assert result.exit_code == 10


def log_of(cluster: FakeCluster) -> Log:
    client = Client(cluster, namespace="shop", user="alice", clock=FakeClock())
    newest = cluster.peek(ROLLOUT, REVIEWS)
    return Log(client=client, aside=False, heading="waits", newest=newest)


@pytest.mark.looptime
async def test_what_is_blocked_for_a_minute_is_stuck_and_what_comes_and_goes_is_not(
    capsys: pytest.CaptureFixture[str],
) -> None:
    cluster = FakeCluster(FakeClock())
    blocked = PROGRESSING.model_copy(update={"phase": Phase.BLOCKED, "message": "no subset v3"})
    cluster.put(ROLLOUT, manifest(PROGRESSING))
    time = asyncio.get_running_loop().time
    begun = time()

    async def mend_it_once() -> None:
        for status in (blocked, PROGRESSING, blocked):
            await asyncio.sleep(50)
            cluster.put(ROLLOUT, manifest(status))

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(mend_it_once())
        told = await awaiting.reminded(log_of(cluster), 3600.0)

    assert told == Told(fate=Fate.STUCK, because="no subset v3")
    assert time() - begun == pytest.approx(150 + awaiting.BLOCKED_SECONDS, abs=1)
    phases = [line.split()[1] for line in capsys.readouterr().out.splitlines()[1:]]
    assert phases == ["Progressing", "Blocked", "Progressing", "Blocked"]


@pytest.mark.looptime
async def test_a_run_that_stays_where_it_is_is_told_of_every_five_minutes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    cluster = FakeCluster(FakeClock())
    cluster.put(ROLLOUT, manifest(WAITING))

    told = await awaiting.reminded(log_of(cluster), 3600.0)

    assert told.fate is Fate.UNDECIDED
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + 3600 / awaiting.REMIND_SECONDS


def test_waiting_goes_on_when_the_stream_breaks(desk: Desk) -> None:
    desk.later = [
        desk.cluster.break_watches,
        lambda: desk.status(ended(Outcome.PROMOTED, "promoted")),
    ]

    assert desk.type("get", "reviews", "--wait").exit_code == 0


def test_an_error_of_ours_is_told_apart_from_every_ending(desk: Desk) -> None:
    assert desk.type("get", "revews", "--wait").exit_code == 1


@pytest.mark.parametrize(
    "words", [("--wait", "--watch"), ("--timeout", "1h"), ("--wait", "--timeout", "soon")]
)
def test_options_that_do_not_go_together_are_wrong_usage(
    desk: Desk, words: tuple[str, ...]
) -> None:
    assert desk.type("get", "reviews", *words).exit_code == 2
