"""The command line: every verb with its help. What the verbs need is imported when they run."""

from __future__ import annotations

import sys

import typer

from rollout.cli import governing, installing, options, steering
from rollout.cli.place import Place, arranged
from rollout.cli.registering import registering
from rollout.cli.sections import Sections

# Imports inside of the verbs are on purpose: `rollout --help` and completion take a few
# hundredths of a second, while models, tables and the Kubernetes client take half a second.
# ruff: noqa: PLC0415

HELP = """Gray releases for Kubernetes and Istio that judge themselves, and take themselves back."""

EPILOG = """\b
Examples:
  rollout demo                      three gray releases on this machine
  rollout list -A                   all Rollouts
  rollout set reviews v2            ask for another revision; the run begins
  rollout get reviews --watch       follow it
  rollout why reviews               why it is where it is, and what you can do
  rollout list -A --waiting         what waits for people
  rollout approve reviews           say yes to what it waits for
  rollout abort reviews             take all traffic back, at once

\b
"rollout VERB --help" tells more. -n and --context work before the verb, too.
"""

app = typer.Typer(
    name="rollout",
    cls=Sections,
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


@_verb(
    "list",
    "rollout list -n bookinfo",
    "rollout list -A --waiting",
    "rollout list --phase RolledBack --phase Blocked -l team=shop",
    "rollout list -A --watch",
    "rollout list -A -o json",
    short="Show all Rollouts; --waiting: those that wait for people.",
)
def _list(
    place: Place,
    *,
    everywhere: options.Everywhere = False,
    phase: options.Phases = None,
    waiting: options.WaitsForPeople = False,
    selector: options.Selector = "",
    watch: options.Watch = False,
) -> None:
    """Show all Rollouts: phase, revision, weight, and why.

    In a pipe each is one line; with --watch there comes one for each that has changed.
    """
    from rollout.cli import looking, selecting

    selection = selecting.Selection(
        phases=selecting.phases(phase or ()),
        waiting=waiting,
        labels=selecting.of_option(selector),
    )
    looking.list_all(place, everywhere=everywhere, selection=selection, watch=watch)


@_verb(
    "get",
    "rollout get reviews -n bookinfo",
    "rollout get reviews --watch",
    "rollout get reviews --wait --timeout 2h",
    "rollout get reviews -o yaml",
    short="Show one Rollout; --watch follows it, --wait waits for its end.",
)
def _get(
    place: Place,
    *,
    name: options.Name,
    watch: options.Watch = False,
    wait: options.Wait = False,
    timeout: options.WaitTimeout = "",
) -> None:
    """Show one Rollout: where it is, its weights, its ladder, its gates, its last runs.

    --wait is for pipelines: it waits until the revision that is wanted now is decided, with a line
    for each change, and exits with

    \b
       0  it is promoted, the bake included; at once when it is stable already
      10  it was rolled back, and all traffic is back
      11  it was aborted or rejected, or the Rollout was deleted
      12  it was superseded: another revision is wanted
      13  it is stuck: the Rollout is Invalid, or has been Blocked for a minute
      14  it is not decided after --timeout; the run goes on
       1  something else went wrong, such as a server that cannot be reached
       2  wrong usage

    A run that waits for people is waited for, too: its line says for whom. Where no run is on, the
    revision's last one is told at once if it has had one, else its first is waited for.
    """  # noqa: D301 - what follows that character keeps its lines
    from rollout.cli import awaiting, looking

    if wait and watch:
        sentence = "--wait ends by itself and --watch does not; give one of them"
        raise typer.BadParameter(sentence)
    if timeout and not wait:
        sentence = "--timeout is for --wait; add --wait"
        raise typer.BadParameter(sentence)
    if wait:
        awaiting.wait(place, name, timeout=timeout or "1h")
    else:
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


app.registered_commands.extend(steering.app.registered_commands)


# Foreseeing.


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
