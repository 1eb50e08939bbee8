"""The command line: every verb with its help. What the verbs need is imported when they run."""

from __future__ import annotations

import sys

import typer

from rollout.cli import governing, installing, options
from rollout.cli.place import Place, arranged
from rollout.cli.registering import registering

# Imports inside of the verbs are on purpose: `rollout --help` and completion take a few
# hundredths of a second, while models, tables and the Kubernetes client take half a second.
# ruff: noqa: PLC0415

HELP = """Gray releases for Kubernetes and Istio that judge themselves, and take themselves back."""

EPILOG = """\b
Examples:
  rollout demo                      three gray releases on this machine, no cluster needed
  rollout list -A                   all Rollouts
  rollout set reviews v2            ask for another revision; the run begins
  rollout get reviews --watch       follow it
  rollout why reviews               why it is where it is, and what you can do
  rollout abort reviews             take all traffic back, at once

\b
"rollout VERB --help" tells more. Options such as -n and --context work before the verb, too.
"""

app = typer.Typer(
    name="rollout",
    help=HELP,
    epilog=EPILOG,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


@app.callback(invoke_without_command=True)
def _alone(ctx: typer.Context) -> None:
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())


_verb = registering(app)


# Looking.


@_verb("list", "rollout list -n bookinfo", "rollout list -A -o json", short="Show all Rollouts.")
def _list(place: Place, *, everywhere: options.Everywhere = False) -> None:
    """Show all Rollouts: phase, revision, weight, and why."""
    from rollout.cli import looking

    looking.list_all(place, everywhere=everywhere)


@_verb(
    "get",
    "rollout get reviews -n bookinfo",
    "rollout get reviews --watch",
    "rollout get reviews -o yaml",
    short="Show one Rollout; --watch follows it.",
)
def _get(place: Place, *, name: options.Name, watch: options.Watch = False) -> None:
    """Show one Rollout: where it is, its weights, its ladder, its gates, its last runs."""
    from rollout.cli import looking

    looking.get(place, name, watch=watch)


@_verb(
    "why",
    "rollout why reviews -n bookinfo",
    short="Explain where a Rollout is and what you can do.",
)
def _why(place: Place, *, name: options.Name) -> None:
    """Explain where a Rollout is: because of what, what happens next, what you can do."""
    from rollout.cli import looking

    looking.why(place, name)


@_verb("history", "rollout history reviews -n bookinfo", short="Show the runs that are over.")
def _history(place: Place, *, name: options.Name) -> None:
    """Show the runs that are over: how each ended, why, what it cost, and who ended it."""
    from rollout.cli import looking

    looking.history(place, name)


# Commanding.


@_verb(
    "set",
    "rollout set reviews v2",
    'rollout set reviews v2 --reason "ticket 4711"',
    short="Ask for another revision; the run begins.",
)
def _set(
    place: Place, *, name: options.Name, revision: options.Revision, reason: options.Reason = ""
) -> None:
    """Ask for a revision: sets spec.revision, which starts a run.

    In mid-run another revision takes the traffic back first; the stable one ends the run.
    """
    from rollout.cli import commanding

    commanding.set_revision(place, name, revision, reason=reason)


@_verb(
    "promote",
    "rollout promote reviews",
    'rollout promote reviews --full --reason "seen enough"',
    short="End the present step; --full goes to 100 %.",
)
def _promote(
    place: Place,
    *,
    name: options.Name,
    full: options.Full = False,
    run: options.RunId = "",
    step: options.StepNumber = None,
    reason: options.Reason = "",
    timeout: options.Timeout = "30s",
) -> None:
    """End the present step, or with --full go to 100 % at once; never past a failing gate."""
    from rollout.cli import commanding

    said = commanding.Words(run=run, step=step, reason=reason, timeout=timeout)
    commanding.promote(place, name, said, full=full)


@_verb(
    "abort",
    "rollout abort reviews",
    'rollout abort reviews --reason "checkout is slow"',
    short="Take all traffic back, at once.",
)
def _abort(
    place: Place,
    *,
    name: options.Name,
    run: options.RunId = "",
    reason: options.Reason = "",
    timeout: options.Timeout = "30s",
) -> None:
    """Take all traffic back to the stable revision; returns when the canary gets none any more.

    Works whatever pods, metrics or earlier steps look like.
    """
    from rollout.cli import commanding

    commanding.abort(place, name, commanding.Words(run=run, reason=reason, timeout=timeout))


@_verb(
    "pause",
    'rollout pause reviews --reason "until the sale is over"',
    short="Stay at the present weight.",
)
def _pause(
    place: Place,
    *,
    name: options.Name,
    run: options.RunId = "",
    reason: options.Reason = "",
    timeout: options.Timeout = "30s",
) -> None:
    """Stay at the present weight until somebody resumes; a failing gate still takes it back."""
    from rollout.cli import commanding

    commanding.pause(place, name, commanding.Words(run=run, reason=reason, timeout=timeout))


@_verb("resume", "rollout resume reviews", short="Let a paused run go on.")
def _resume(
    place: Place,
    *,
    name: options.Name,
    run: options.RunId = "",
    step: options.StepNumber = None,
    reason: options.Reason = "",
    timeout: options.Timeout = "30s",
) -> None:
    """Let a paused run go on."""
    from rollout.cli import commanding

    said = commanding.Words(run=run, step=step, reason=reason, timeout=timeout)
    commanding.resume(place, name, said)


@_verb("retry", "rollout retry reviews", short="Run a revision again that was taken back.")
def _retry(
    place: Place,
    *,
    name: options.Name,
    run: options.RunId = "",
    reason: options.Reason = "",
    timeout: options.Timeout = "30s",
) -> None:
    """Run a revision again that was rolled back or aborted."""
    from rollout.cli import commanding

    commanding.retry(place, name, commanding.Words(run=run, reason=reason, timeout=timeout))


@_verb("undo", "rollout undo reviews", short="Go back to the revision that was stable before.")
def _undo(
    place: Place,
    *,
    name: options.Name,
    reason: options.Reason = "",
    timeout: options.Timeout = "30s",
) -> None:
    """Go back to the revision that was stable before.

    At once if that is recent, else by the ladder.

    Recent means within strategy.undoWindow: 24h, unless the Rollout says otherwise.
    """
    from rollout.cli import commanding

    commanding.undo(place, name, commanding.Words(reason=reason, timeout=timeout))


@_verb(
    "judge",
    "rollout judge ticks.csv",
    "rollout judge ticks.csv --tolerance 1 --false-rollback 5 --step-at 40",
    "rollout judge - -o json < ticks.csv",
    short="Judge recorded ticks by sequential statistics.",
    takes=("output",),
)
def _judge(  # noqa: PLR0913 - one for each promise
    place: Place,
    *,
    file: options.Ticks,
    tolerance: options.Tolerance = 1.2,
    false_rollback: options.FalseRollback = 1,
    proven_ratio: options.ProvenRatio = 2,
    false_promote: options.FalsePromote = 5,
    dispersion: options.Dispersion = 1,
    step_at: options.StepsAt = None,
    base_percent: options.BasePercent = None,
) -> None:
    """Judge recorded ticks by statistics that hold however often one looks.

    FILE is CSV with the columns canary_requests,stable_requests,canary_bad,stable_bad and one tick
    a line, oldest first; - reads standard input. Exits with 0 when the canary passes, 1 when it
    fails, 2 when it is not known yet, and 3 when the file is wrong.
    """
    from rollout.cli import judging

    asked = judging.Asked(
        tolerance_ratio=tolerance,
        false_rollback_percent=false_rollback,
        proven_ratio=proven_ratio,
        false_promote_percent=false_promote,
        dispersion_factor=dispersion,
    )
    judging.judge(place, file, asked, steps_at=step_at or (), base_percent=base_percent)


@_verb(
    "plan",
    "rollout plan checkout -n shop --prometheus http://localhost:9090",
    "rollout plan rollout.yaml --rps 200 --error-rate 0.1",
    "rollout plan rollout.yaml --rps 200 --error-rate 0.1 --dispersion 3 -o json",
    short="Foretell what a run will take and find.",
)
def _plan(
    place: Place,
    *,
    source: options.Source,
    rps: options.PlanRps = None,
    error_rate: options.ErrorRate = None,
    dispersion: options.PlanDispersion = None,
    prometheus: options.Prometheus = None,
    prometheus_token_file: options.TokenFile = None,
) -> None:
    """Foretell a run: how long each step lasts, what it finds, what regressions cost.

    Prometheus (--prometheus, or ROLLOUT_PROMETHEUS_ADDRESS) is asked how the service has done in
    the last 4 hours, and at this hour on earlier days; or you say it with --rps and --error-rate.
    Nothing is changed, and no run is needed.
    """
    from rollout.cli import planning

    asked = planning.Asked(
        requests_per_second=rps,
        error_percent=error_rate,
        dispersion_factor=dispersion,
        prometheus=prometheus,
        prometheus_token_file=prometheus_token_file,
    )
    planning.plan(place, source, asked)


@_verb(
    "backtest",
    "rollout backtest checkout -n shop --prometheus http://localhost:9090",
    "rollout backtest rollout.yaml --days 7 --release 30m -o json",
    short="Try the gates on past days of the same code.",
)
def _backtest(
    place: Place,
    *,
    source: options.Source,
    days: options.Days = 1,
    release: options.Release = "1h",
    prometheus: options.Prometheus = None,
    prometheus_token_file: options.TokenFile = None,
) -> None:
    """Try the gates of errors on past days: how often would they have taken back a good release?

    Pods of a revision run the same code, so each is taken for the canary of the others in turn.
    Beside the gates stands a rule of thresholds: 99 % success in each minute, and back after five
    minutes that had less. Pods of canaries in that time count as any other.
    """
    from rollout.cli import backtesting

    flags = {
        "prometheus_address": prometheus,
        "prometheus_token_file": prometheus_token_file,
    }
    wanted = backtesting.Wanted(days=days, release_seconds=options.seconds(release), flags=flags)
    backtesting.backtest_gates(place, source, wanted)


for _more in (governing.app, installing.app):
    app.registered_commands.extend(_more.registered_commands)


def main() -> None:
    """The program's entry."""
    app(args=arranged(sys.argv[1:]), prog_name="rollout")
