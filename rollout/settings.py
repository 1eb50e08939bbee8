"""What the controller is told from outside: environment and flags, read once, then frozen."""

from __future__ import annotations

import os
import re
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rollout.base.errors import BadManifest, BadQuantity
from rollout.base.quantity import parse_duration

PREFIX = "ROLLOUT_"
"""Every variable is this and the field's name in capitals: ``ROLLOUT_NAMESPACE``."""

NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
"""Where a pod finds the namespace it runs in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How one controller process runs."""

    kubeconfig: str = ""
    """Files, separated by ``:``. Empty: the pod's service account, else where kubectl looks."""
    context: str = ""
    """Which context of the kubeconfig. Empty: the current one."""
    namespace: str = ""
    """The one namespace to look after. Empty: all."""
    prometheus_address: str = ""
    """Where Prometheus answers, such as ``http://prometheus.istio-system:9090``. Empty: there is
    none, and gates stay unknown."""
    prometheus_token_file: Path | None = None
    """A file with a bearer token for Prometheus; read anew for every query. None: no token."""
    istiod_address: str = ""
    """Where istiod answers, such as ``http://istiod.istio-system:15014``: all its replicas are
    asked when proxies have taken a change. Empty: nobody is, and proxies get the settle time."""
    istiod_token_file: Path | None = None
    """A file with a bearer token for istiod (audience ``istio-ca``); read anew for every look.
    None: no token."""
    scrape_interval_seconds: float = 15.0
    """Prometheus' scrape interval until it has been learnt from the data. Its usual default."""
    settle_seconds: float = 2.0
    """How long proxies are given to take a change where istiod does not tell: it pushes within
    0.2 s (its debounce is 0.1 s), a busy one within a second."""
    status_refresh_seconds: float = 60.0
    """How old counts and words may grow in a status before they are written without a decision:
    writes are the scarce thing of a cluster."""
    workers_count: int = 8
    """Reconciles at one time. Each waits for the API server most of its time."""
    leader_election: bool = True
    """Whether a Lease decides which replica works. On, since two without it would write twice."""
    lease_name: str = "rollout-controller"
    """Name of the Lease."""
    lease_namespace: str = ""
    """Namespace of the Lease. Empty: the pod's own, else ``namespace``, else ``default``."""
    identity: str = ""
    """Who this replica is in the Lease; no two processes may share it. Empty: the host's name and
    some random letters (in pods every process has id 1, and on the host's network its name)."""
    identity_policy: str = "rollout-identity"
    """The ValidatingAdmissionPolicy, and the binding of the same name, that see to it that nobody
    commands in another's name."""
    trust_actors: bool = False
    """Whether whom a command names is believed where no such policy is in force. Off: nobody can
    approve there, since anybody could approve as anybody."""
    slack_token_file: Path | None = None
    """A file with Slack's bot token (``xoxb-…``). None: nobody is told in Slack."""
    slack_app_token_file: Path | None = None
    """A file with Slack's app token (``xapp-…``), which opens the socket that presses of buttons
    come by. None: they come by signed HTTP, or there are no buttons."""
    slack_secret_file: Path | None = None
    """A file with Slack's signing secrets, one a line: presses that come by HTTP are checked with
    them. None: none are taken."""
    slack_channel: str = ""
    """Where runs are told of whose Rollouts name no channel. Empty: nowhere."""
    slack_api: str = "https://slack.com/api/"
    """Where Slack's Web API is; another one for its separate clouds."""
    slack_hooks: str = "https://hooks.slack.com/"
    """How the addresses begin at which Slack takes answers to a press."""
    slack_proxy: str = ""
    """An HTTP proxy on the way to Slack. Empty: none, whatever the environment says."""
    press_host: str = "127.0.0.1"
    """Where signed presses are taken by HTTP; a pod wants 0.0.0.0."""
    press_port: int = 8081
    """On which port; 0 takes a free one."""
    hooks: str = ""
    """How the addresses begin that Rollouts may have posted to, separated by commas, such as
    ``https://hooks.example.com/rollout/``. Empty: none may."""
    link: str = ""
    """Where people see a Rollout, with ``{namespace}`` and ``{name}``: messages link there. Empty:
    nowhere."""
    health_host: str = "127.0.0.1"
    """Where /healthz, /readyz and /metrics listen; a pod wants 0.0.0.0."""
    health_port: int = 8080
    """On which port; 0 takes a free one."""
    drain_seconds: float = 10.0
    """How long reconciles under way may take to finish after SIGTERM."""
    log_format: str = "json"
    """``json`` or ``console``."""


BOUNDS: Mapping[str, tuple[float, float]] = {
    "scrape_interval_seconds": (0.1, 3600),
    "settle_seconds": (0, 600),
    "status_refresh_seconds": (1, 86_400),
    "workers_count": (1, 100),
    "health_port": (0, 65_535),
    "press_port": (0, 65_535),
    "drain_seconds": (0, 600),
}
"""Least and most of each number; what is outside is surely a typing error."""


ADDRESSES: Mapping[str, str] = {
    "prometheus_address": "http://prometheus.istio-system:9090",
    "istiod_address": "http://istiod.istio-system:15014",
    "slack_api": "https://slack.com/api/",
    "slack_hooks": "https://hooks.slack.com/",
    "slack_proxy": "http://proxy.example.com:3128",
}
"""What must be an address, with one that would do."""


def read(
    flags: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None
) -> Settings:
    """The settings: a flag that is given (not None) beats its variable, a variable the default.

    Raises:
        BadManifest: naming the variable or flag, what is wrong with it, and what to write instead.
    """
    environ = os.environ if environ is None else environ
    values: dict[str, Any] = {}
    for field in fields(Settings):
        variable = PREFIX + field.name.removesuffix("_seconds").removesuffix("_count").upper()
        flag = (flags or {}).get(field.name)
        if flag is not None:
            option = variable[len(PREFIX) :].removesuffix("_ADDRESS").lower().replace("_", "-")
            source, given = f"--{option}", flag
        elif environ.get(variable) and not _is_service_link(environ[variable]):
            source, given = variable, environ[variable]
        else:
            continue
        values[field.name] = _value(source, given, default=field.default)
        _check(source, field.name, values[field.name])
    return _completed(Settings(**values))


def _is_service_link(text: str) -> bool:
    """Whether Kubernetes itself set a variable.

    For a Service ``rollout-health`` it puts ``ROLLOUT_HEALTH_PORT=tcp://10.0.0.7:8080`` into every
    pod of the namespace.
    """
    return text.startswith(("tcp://", "udp://", "sctp://"))


def _check(source: str, name: str, value: Any) -> None:
    """What a type alone does not say."""
    if name in BOUNDS:
        least, most = BOUNDS[name]
        if not least <= value <= most:
            raise _bad(source, value, f"use {least:g} to {most:g}")
    if name == "log_format" and value not in {"json", "console"}:
        raise _bad(source, value, "use json or console")
    example = ADDRESSES.get(name)
    if example is not None and value and not _is_address(value):
        raise _bad(source, value, f"use an address such as {example}")


def _is_address(text: str) -> bool:
    split = urlsplit(text)
    return split.scheme in {"http", "https"} and bool(split.hostname)


def _completed(settings: Settings) -> Settings:
    """With what is only known here: the pod's namespace, the host's name."""
    changes: dict[str, Any] = {}
    if not settings.lease_namespace:
        own = NAMESPACE_FILE.read_text().strip() if NAMESPACE_FILE.is_file() else ""
        changes["lease_namespace"] = own or settings.namespace or "default"
    if not settings.identity:
        changes["identity"] = f"{socket.gethostname()}-{secrets.token_hex(3)}"
    return replace(settings, **changes)


def _value(source: str, given: Any, *, default: Any) -> Any:
    """A text as the type of the field's default; a value of that type as it is."""
    if not isinstance(given, str):
        return given
    if isinstance(default, bool):
        return _switch(source, given)
    if isinstance(default, float):
        return _seconds(source, given)
    if isinstance(default, int):
        if not (given.isascii() and given.isdecimal()):
            raise _bad(source, given, "use a whole number")
        return int(given)
    return Path(given) if default is None else given


def _seconds(source: str, given: str) -> float:
    """A number of seconds, or a duration with a unit."""
    try:
        return float(given) if re.fullmatch(r"[0-9]+(\.[0-9]+)?", given) else parse_duration(given)
    except BadQuantity as error:
        raise _bad(source, given, f"use {error.wanted}") from error


def _switch(source: str, given: str) -> bool:
    if given.lower() in {"true", "1", "yes", "on"}:
        return True
    if given.lower() in {"false", "0", "no", "off"}:
        return False
    raise _bad(source, given, "use true or false")


def _bad(source: str, given: object, remedy: str) -> BadManifest:
    return BadManifest(field=source, problem=f"is {given!r}", remedy=remedy)
