"""Arguments and options that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rollout.base import errors
from rollout.base.quantity import parse_duration


def _complete(ctx: typer.Context, incomplete: str) -> list[str]:
    from rollout.cli import completion  # noqa: PLC0415 - only the Tab key pays for it

    return completion.rollout_names(ctx, incomplete)


def _complete_policy(ctx: typer.Context, incomplete: str) -> list[str]:
    from rollout.cli import completion  # noqa: PLC0415 - only the Tab key pays for it

    return completion.policy_names(ctx, incomplete)


def seconds(text: str) -> float:
    """The value of an option that is a duration."""
    try:
        return parse_duration(text)
    except errors.BadQuantity as error:
        raise typer.BadParameter(str(error)) from None


def _complete_revision(ctx: typer.Context, incomplete: str) -> list[str]:
    from rollout.cli import completion  # noqa: PLC0415 - likewise

    return completion.revisions(ctx, incomplete)


def _complete_run(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    from rollout.cli import completion  # noqa: PLC0415 - likewise

    return completion.run_ids(ctx, incomplete)


def _complete_phase(incomplete: str) -> list[str]:
    from rollout.api.phase import Phase  # noqa: PLC0415 - likewise

    return [phase for phase in Phase if phase.startswith(incomplete)]


Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME", help="The Rollout.", autocompletion=_complete, show_default=False
    ),
]
Revision = Annotated[
    str,
    typer.Argument(
        metavar="REVISION",
        help="The DestinationRule subset that should be live.",
        autocompletion=_complete_revision,
        show_default=False,
    ),
]
Watch = Annotated[bool, typer.Option("--watch", "-w", help="Stay and follow it; Ctrl-C ends.")]
Wait = Annotated[bool, typer.Option("--wait", help="Stay until it is decided, for pipelines.")]
WaitTimeout = Annotated[
    str,
    typer.Option(
        "--timeout",
        metavar="DURATION",
        callback=lambda text: (not text or str(seconds(text))) and text,
        help="How long --wait waits. Default: 1h.",
        show_default=False,
    ),
]
Phases = Annotated[
    list[str] | None,
    typer.Option(
        "--phase",
        metavar="PHASE",
        autocompletion=_complete_phase,
        help="Only those in this phase, such as Waiting; may be repeated.",
    ),
]
WaitsForPeople = Annotated[bool, typer.Option("--waiting", help="Only those that wait for people.")]
Selector = Annotated[
    str,
    typer.Option(
        "--selector",
        "-l",
        metavar="LABELS",
        help="Only those with such labels, as with kubectl: team=a,tier!=db.",
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Let the server judge it, and change nothing.")
]
Everywhere = Annotated[bool, typer.Option("--all-namespaces", "-A", help="In all namespaces.")]
Full = Annotated[bool, typer.Option("--full", help="Go to 100 % at once; the bake is kept.")]
Reason = Annotated[
    str,
    typer.Option(metavar="TEXT", help="Why, in your words; it is kept in the record."),
]
RunId = Annotated[
    str,
    typer.Option(
        "--run",
        metavar="ID",
        help="The run that is meant. Default: the present one.",
        autocompletion=_complete_run,
    ),
]
StepNumber = Annotated[
    int | None,
    typer.Option(
        "--step", min=0, metavar="N", help="The step that is meant. Default: the present one."
    ),
]
Timeout = Annotated[
    str,
    typer.Option(
        metavar="DURATION",
        callback=lambda text: str(seconds(text)) and text,
        help="How long to wait for the answer.",
    ),
]

# Of those who govern.

PolicyName = Annotated[
    str,
    typer.Argument(
        metavar="[NAME]",
        help="The policy. Default: all.",
        autocompletion=_complete_policy,
        show_default=False,
    ),
]
FreezeReason = Annotated[
    str, typer.Option("--reason", metavar="TEXT", help="Why, for those who wait.")
]
Until = Annotated[
    str,
    typer.Option(
        metavar="TIME|DURATION",
        help="When it ends: 2027-01-02T00:00:00Z, or 8h from now. Default: when somebody thaws it.",
        show_default=False,
    ),
]
ClusterWide = Annotated[bool, typer.Option("--cluster", help="In the whole cluster.")]

# The demo's.

Svg = Annotated[
    Path | None,
    typer.Option(metavar="FILE", dir_okay=False, help="Save a picture of the screen."),
]
Keep = Annotated[bool, typer.Option("--keep", help="Leave the world up afterwards, until Ctrl-C.")]
Rps = Annotated[float, typer.Option(min=50, max=1000, metavar="N", help="Requests a second.")]

# The controller's; what each is by default stands in the settings.


def _setting(help_text: str, *, metavar: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(
        metavar=metavar, help=help_text, show_default=False
    )
    return option


WatchedNamespace = Annotated[
    str | None,
    typer.Option("--namespace", "-n", metavar="NAME", help="Only this namespace. Default: all."),
]
ControllerKubeconfig = Annotated[
    str | None,
    _setting("Kubeconfig. Default: the pod's own account, else as kubectl.", metavar="FILE"),
]
ControllerContext = Annotated[str | None, _setting("Context in it.", metavar="NAME")]
Prometheus = Annotated[str | None, _setting("Where Prometheus answers.", metavar="URL")]
TokenFile = Annotated[str | None, _setting("Its bearer token, in a file.", metavar="FILE")]
Istiod = Annotated[
    str | None,
    _setting(
        "Where istiod answers: all its replicas are asked when proxies have taken a change. Its "
        "variable DEBUG_ENDPOINT_AUTH_ALLOWED_NAMESPACES must name the controller's namespace. "
        "Default: nobody is asked.",
        metavar="URL",
    ),
]
IstiodTokenFile = Annotated[
    str | None,
    _setting("The bearer token for istiod, audience istio-ca, in a file.", metavar="FILE"),
]
ScrapeInterval = Annotated[
    str | None, _setting("Its scrape interval, until learnt. Default: 15s.", metavar="DURATION")
]
Settle = Annotated[
    str | None,
    _setting(
        "How long proxies are given to take a change where istiod does not tell. Default: 2s.",
        metavar="DURATION",
    ),
]
StatusRefresh = Annotated[
    str | None,
    _setting("How old counts in a status may grow. Default: 60s.", metavar="DURATION"),
]
Workers = Annotated[str | None, _setting("Reconciles at one time. Default: 8.", metavar="N")]
LeaderElection = Annotated[
    bool | None,
    typer.Option(
        "--leader-election/--no-leader-election",
        help="Whether a Lease decides which replica works.",
    ),
]
LeaseName = Annotated[str | None, _setting("The Lease's name.", metavar="NAME")]
LeaseNamespace = Annotated[
    str | None, _setting("The Lease's namespace. Default: the pod's own.", metavar="NAME")
]
Identity = Annotated[
    str | None, _setting("This replica's name. Default: host and process.", metavar="NAME")
]
IdentityPolicy = Annotated[
    str | None,
    _setting(
        "The ValidatingAdmissionPolicy that checks who commands. Default: rollout-identity.",
        metavar="NAME",
    ),
]
TrustActors = Annotated[
    bool | None,
    typer.Option(
        "--trust-actors/--no-trust-actors",
        help="Believe whom a command names where no such policy is in force: whoever may create a "
        "RolloutAction can then approve as anybody.",
    ),
]
SlackTokenFile = Annotated[
    str | None, _setting("Slack's bot token (xoxb-), in a file.", metavar="FILE")
]
SlackAppTokenFile = Annotated[
    str | None,
    _setting("Slack's app token (xapp-), in a file: presses come over a socket.", metavar="FILE"),
]
SlackSecretFile = Annotated[
    str | None,
    _setting("Slack's signing secrets, in a file: presses come by signed HTTP.", metavar="FILE"),
]
SlackChannel = Annotated[
    str | None, _setting("Where runs are told of that name no channel.", metavar="CHANNEL")
]
SlackApi = Annotated[
    str | None, _setting("Slack's Web API. Default: https://slack.com/api/.", metavar="URL")
]
SlackHooks = Annotated[
    str | None,
    _setting(
        "How addresses begin at which Slack takes answers. Default: https://hooks.slack.com/.",
        metavar="URL",
    ),
]
SlackProxy = Annotated[str | None, _setting("An HTTP proxy on the way to Slack.", metavar="URL")]
PressHost = Annotated[
    str | None, _setting("Where signed presses are taken. Default: 127.0.0.1.", metavar="HOST")
]
PressPort = Annotated[
    str | None, _setting("On which port; 0 takes a free one. Default: 8081.", metavar="PORT")
]
Hooks = Annotated[
    str | None,
    _setting(
        "How addresses begin that Rollouts may have posted to, separated by commas.",
        metavar="URLS",
    ),
]
Link = Annotated[
    str | None,
    _setting("Where people see a Rollout, with {namespace} and {name}.", metavar="URL"),
]
HealthHost = Annotated[
    str | None, _setting("Where /healthz, /readyz and /metrics listen.", metavar="ADDRESS")
]
HealthPort = Annotated[str | None, _setting("On which port. Default: 8080.", metavar="PORT")]
Drain = Annotated[
    str | None,
    _setting("How long work may take to finish at the end. Default: 10s.", metavar="DURATION"),
]
LogFormat = Annotated[str | None, _setting("How to log. Default: json.", metavar="json|console")]

# Of `rollout judge`. A risk of 0 % would never decide, one of 100 % always.
_RISK = {"min": 0.0001, "max": 50.0, "metavar": "PERCENT"}

Ticks = Annotated[Path, typer.Argument(metavar="FILE", help="CSV of ticks; - for standard input.")]
Tolerance = Annotated[
    float,
    typer.Option(
        min=1, max=100, metavar="RATIO", help="A canary that fails so many times as often is fine."
    ),
]
FalseRollback = Annotated[
    float, typer.Option(**_RISK, help="How often a canary within the tolerance may be taken back.")
]
ProvenRatio = Annotated[
    float,
    typer.Option(
        min=1.01, max=100, metavar="RATIO", help="A pass proves that it fails less often than that."
    ),
]
FalsePromote = Annotated[
    float, typer.Option(**_RISK, help="How often a canary at the proven ratio may pass.")
]
Dispersion = Annotated[
    float,
    typer.Option(
        min=1, max=10_000, metavar="FACTOR", help="How bursty bad requests are; 1: independent."
    ),
]
StepsAt = Annotated[
    list[int] | None,
    typer.Option(
        "--step-at", min=1, metavar="TICK", help="A tick that begins a step; may be repeated."
    ),
]
BasePercent = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=100,
        metavar="PERCENT",
        help="Bad requests of stable before the run. Default: as the ticks before have it.",
    ),
]

# Of `rollout plan`.

Source = Annotated[
    str,
    typer.Argument(
        metavar="NAME|FILE",
        help="The Rollout, or a file that holds one; - for standard input.",
        autocompletion=_complete,
        show_default=False,
    ),
]
PlanRps = Annotated[
    float | None,
    typer.Option(
        "--rps", min=0.001, max=1e9, metavar="N", help="Requests a second, instead of asking."
    ),
]
ErrorRate = Annotated[
    float | None,
    typer.Option(
        min=0.000001, max=50, metavar="PERCENT", help="Of them that fail, instead of asking."
    ),
]
PlanDispersion = Annotated[
    float | None,
    typer.Option(
        "--dispersion",
        min=1,
        max=10_000,
        metavar="FACTOR",
        help="How bursty errors are, instead of asking; 1: they come one by one.",
    ),
]

# Of `rollout backtest`.

Days = Annotated[
    int, typer.Option("--days", min=1, max=30, metavar="N", help="How far to go back.")
]
Release = Annotated[
    str,
    typer.Option(
        "--release",
        metavar="DURATION",
        callback=lambda text: str(_release_seconds(text)) and text,
        help="How long a release takes: 5m to 4h.",
    ),
]


def _release_seconds(text: str) -> float:
    found = seconds(text)
    if not 300 <= found <= 4 * 3600:
        why = f"{text} is not 5m to 4h"
        raise typer.BadParameter(why)
    return found
