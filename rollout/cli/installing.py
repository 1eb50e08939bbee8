"""The verbs that run and install: demo, controller, crds, version; with their help."""

from __future__ import annotations

import typer

from rollout.cli import options
from rollout.cli.place import Place
from rollout.cli.registering import registering

# As in `rollout.cli.main`, imports inside of the verbs are on purpose.
# ruff: noqa: PLC0415

app = typer.Typer()

_verb = registering(app)


@_verb(
    "demo",
    "rollout demo",
    "rollout demo --keep",
    "rollout demo --svg demo.svg",
    "rollout demo -o json",
    short="Three gray releases on this machine, no cluster needed.",
    takes=("output",),
)
def _demo(
    place: Place,
    *,
    svg: options.Svg = None,
    keep: options.Keep = False,
    rps: options.Rps = 350,
) -> None:
    """Put on three gray releases on this machine: promoted, rolled back, aborted.

    A real Envoy takes the traffic, a real Prometheus counts it; no cluster is needed. Takes less
    than two minutes; exits with 0 only if all three ended as they should.
    """
    from rollout.cli import running

    running.demo(place, svg=svg, keep=keep, rps=rps)


@_verb(
    "controller",
    "rollout controller --prometheus http://prometheus.istio-system:9090",
    short="Run the controller; what the Deployment does.",
    takes=(),
)
def _controller(  # noqa: PLR0913 - one for each setting
    place: Place,
    *,
    kubeconfig: options.ControllerKubeconfig = None,
    context: options.ControllerContext = None,
    namespace: options.WatchedNamespace = None,
    prometheus: options.Prometheus = None,
    prometheus_token_file: options.TokenFile = None,
    istiod: options.Istiod = None,
    istiod_token_file: options.IstiodTokenFile = None,
    scrape_interval: options.ScrapeInterval = None,
    settle: options.Settle = None,
    status_refresh: options.StatusRefresh = None,
    workers: options.Workers = None,
    leader_election: options.LeaderElection = None,
    lease_name: options.LeaseName = None,
    lease_namespace: options.LeaseNamespace = None,
    identity: options.Identity = None,
    identity_policy: options.IdentityPolicy = None,
    trust_actors: options.TrustActors = None,
    slack_token_file: options.SlackTokenFile = None,
    slack_app_token_file: options.SlackAppTokenFile = None,
    slack_secret_file: options.SlackSecretFile = None,
    slack_channel: options.SlackChannel = None,
    slack_api: options.SlackApi = None,
    slack_hooks: options.SlackHooks = None,
    slack_proxy: options.SlackProxy = None,
    press_host: options.PressHost = None,
    press_port: options.PressPort = None,
    hooks: options.Hooks = None,
    link: options.Link = None,
    health_host: options.HealthHost = None,
    health_port: options.HealthPort = None,
    drain: options.Drain = None,
    log_format: options.LogFormat = None,
) -> None:
    """Run the controller until SIGTERM.

    Options may also come from the environment: --settle from ROLLOUT_SETTLE, and so on.
    """
    from rollout.cli import running

    del place
    running.controller(
        {
            "kubeconfig": kubeconfig,
            "context": context,
            "namespace": namespace,
            "prometheus_address": prometheus,
            "prometheus_token_file": prometheus_token_file,
            "istiod_address": istiod,
            "istiod_token_file": istiod_token_file,
            "scrape_interval_seconds": scrape_interval,
            "settle_seconds": settle,
            "status_refresh_seconds": status_refresh,
            "workers_count": workers,
            "leader_election": leader_election,
            "lease_name": lease_name,
            "lease_namespace": lease_namespace,
            "identity": identity,
            "identity_policy": identity_policy,
            "trust_actors": trust_actors,
            "slack_token_file": slack_token_file,
            "slack_app_token_file": slack_app_token_file,
            "slack_secret_file": slack_secret_file,
            "slack_channel": slack_channel,
            "slack_api": slack_api,
            "slack_hooks": slack_hooks,
            "slack_proxy": slack_proxy,
            "press_host": press_host,
            "press_port": press_port,
            "hooks": hooks,
            "link": link,
            "health_host": health_host,
            "health_port": health_port,
            "drain_seconds": drain,
            "log_format": log_format,
        }
    )


@_verb(
    "crds",
    "rollout crds | kubectl apply -f -",
    short="Print the CustomResourceDefinitions.",
    takes=("output",),
)
def _crds(place: Place) -> None:
    """Print the CustomResourceDefinitions."""
    from rollout.cli import running

    running.crds(place)


@_verb(
    "version",
    "rollout version",
    "rollout version -o json",
    short="Print the version.",
    takes=("output",),
)
def _version(place: Place) -> None:
    """Print the version."""
    from rollout.cli import running

    running.version(place)
