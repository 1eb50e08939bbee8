"""The API server: kubernetes-asyncio says where it is and who we are, requests are our own."""

from __future__ import annotations

import asyncio
import importlib.util
import ssl
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random, SystemRandom
from typing import Any, Protocol, TypeVar

import aiohttp
import yaml

from rollout.adapters.kubernetes.client import FIELD_MANAGER, ClusterAdapter, Observe
from rollout.api.meta import Kind
from rollout.base import errors

__all__ = ["ClusterAdapter", "connect"]

RENEW_SECONDS = 60.0
"""How often credentials that may have changed are looked at again; the library's own period."""


RENEW_SECONDS_MIN = 5.0
"""Between two renewals that the server asked for: a plugin is a process, and may call home."""

T = TypeVar("T")


class _Cfg(Protocol):
    """What we use of the library's ``Configuration``."""

    host: str
    ssl_ca_cert: str | None
    cert_file: str | None
    key_file: str | None
    verify_ssl: bool
    tls_server_name: str | None
    proxy: str | None

    async def get_api_key_with_prefix(self, identifier: str) -> str | None:
        """The header's value; service account tokens are read again when a minute has passed."""


class _Loader(Protocol):
    """What we use of the library's ``KubeConfigLoader``."""

    async def load_and_set(self, client_configuration: _Cfg) -> None:
        """Read credentials again."""


Load = Callable[[], Awaitable[_Loader | None]]


def _open_door() -> tuple[Any, Any]:
    """kubernetes-asyncio's ``Configuration`` and ``config``, without its generated models.

    Importing the package the ordinary way executes 800 modules of models and calls that we do not
    use: 0.3 s and 35 MiB, in each run of a command that takes half a second. So the two packages
    on the way are entered into ``sys.modules`` without running their ``__init__``, the few modules
    that we need are imported beneath them, and the two are taken out again: whoever imports the
    package later gets all of it. This leans on two facts of version 36, which tests watch: what we
    import needs no model, and ``kube_config`` uses ``ApiClient`` only in functions that we do not
    call.
    """
    names = ("kubernetes_asyncio", "kubernetes_asyncio.client")
    hollow = [name for name in names if name not in sys.modules]
    try:
        for name in hollow:
            spec = importlib.util.find_spec(name)
            assert spec is not None, "it is installed with us"
            sys.modules[name] = importlib.util.module_from_spec(spec)
        from kubernetes_asyncio.client.configuration import Configuration  # noqa: PLC0415

        if names[1] in hollow:
            vars(sys.modules[names[1]]).update(Configuration=Configuration, ApiClient=None)
        from kubernetes_asyncio import config  # noqa: PLC0415
    finally:
        for name in hollow:
            sys.modules.pop(name, None)
    return Configuration, config


_Configuration, _config = _open_door()

_UNREADABLE = (
    _config.ConfigException,
    aiohttp.ClientError,
    yaml.YAMLError,
    OSError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    AssertionError,
)
"""What the library's loaders raise for files that are wrong: they check little."""


async def connect(
    kubeconfig: Path | str | None = None,
    context: str | None = None,
    *,
    in_cluster: bool | None = None,
    user_agent: str = FIELD_MANAGER,
    random: Random | None = None,
    observe: Observe | None = None,
) -> ClusterAdapter:
    """A client of the cluster that a kubeconfig names, or of the one that we run in.

    No request is made yet, except that an exec plugin may be run.

    Args:
        kubeconfig: a file, or several with ``:`` between them; None is where kubectl looks.
        context: which of its contexts; None is the current one.
        in_cluster: whether to use the pod's service account. None: when there is one, and neither
            a kubeconfig nor a context is named.
        user_agent: how we appear in the server's logs.
        random: spreads the ends of watches.
        observe: told of each request.

    Raises:
        BadInput: there is no usable configuration; the sentence says why.
    """
    login = await _log_in(kubeconfig, context, in_cluster=in_cluster)
    return ClusterAdapter(
        login, user_agent=user_agent, random=random or SystemRandom(), observe=observe or _ignore
    )


async def _log_in(
    kubeconfig: Path | str | None, context: str | None, *, in_cluster: bool | None
) -> _Login:
    cfg: _Cfg = _Configuration()

    async def from_pod() -> None:
        _config.load_incluster_config(client_configuration=cfg)

    async def from_file() -> _Loader:
        file = None if kubeconfig is None else str(kubeconfig)
        loader: _Loader = await _config.load_kube_config(file, context, client_configuration=cfg)
        return loader

    if in_cluster is None and kubeconfig is None and context is None:
        try:
            return await _Login.first(cfg, from_pod)
        except errors.BadInput:
            return await _Login.first(cfg, from_file)
    return await _Login.first(cfg, from_pod if in_cluster else from_file)


class _Login:
    """A client.Login on the library's configuration; keeps credentials fresh.

    The library renews service account tokens by itself, once a minute. For kubeconfigs it leaves
    that to us: token files are read again, exec plugins and OIDC are asked again.
    """

    def __init__(self, cfg: _Cfg, load: Load) -> None:
        self.base = ""
        self.tls: ssl.SSLContext | None = None
        self.proxy: str | None = None
        self.server_name: str | None = None
        self._cfg = cfg
        self._load = load
        self._loader: _Loader | None = None
        self._looked_seconds = time.monotonic()
        self._renewed_seconds = self._looked_seconds - RENEW_SECONDS_MIN
        self._renewing = asyncio.Lock()

    @classmethod
    async def first(cls, cfg: _Cfg, load: Load) -> _Login:
        """Read the configuration, or raise BadInput."""
        login = cls(cfg, load)
        try:
            login._loader = await load()
            login._take()
        except _UNREADABLE as bad:
            sentence = f"the configuration of the cluster cannot be used: {bad}"
            raise errors.BadInput(sentence) from bad
        return login

    def _take(self) -> None:
        cfg = self._cfg
        self.base, self.proxy = cfg.host.rstrip("/"), cfg.proxy
        self.server_name = cfg.tls_server_name
        if not self.base.startswith("https"):
            return
        self.tls = ssl.create_default_context(cafile=cfg.ssl_ca_cert)
        self._take_certificate()
        if not cfg.verify_ssl:
            self.tls.check_hostname = False
            self.tls.verify_mode = ssl.CERT_NONE

    def _take_certificate(self) -> None:
        """Show the present client certificate on connections that are made from now on."""
        if self.tls is not None and self._cfg.cert_file:
            self.tls.load_cert_chain(self._cfg.cert_file, self._cfg.key_file)

    async def authorization(self) -> str | None:
        """The value of the header, fresh.

        Raises:
            OSError: the credentials cannot be read at the moment.
        """
        due = self._looked_seconds + RENEW_SECONDS
        if time.monotonic() >= due and not self._renewing.locked():
            await self._read(self._look_again)
        value = await self._read(lambda: self._cfg.get_api_key_with_prefix("BearerToken"))
        # A token file may end in a newline, which no header may contain.
        return value.strip() if value else None

    async def renew(self) -> None:
        """Read everything anew, once for all requests that are refused at the same time."""
        async with self._renewing:
            if time.monotonic() < self._renewed_seconds + RENEW_SECONDS_MIN:
                return
            self._loader = await self._read(self._load)
            self._take_certificate()
            self._renewed_seconds = time.monotonic()

    async def _look_again(self) -> None:
        """Read again what may have changed; an exec plugin decides by the expiry that it stated.

        One that stated none is asked again only when the server refuses us: it may be slow.
        """
        async with self._renewing:
            self._looked_seconds = time.monotonic()
            user = getattr(self._loader, "_user", None)
            if self._loader is None or user is None:
                return
            if "exec" not in user or hasattr(self._loader, "exec_plugin_expiry"):
                await self._loader.load_and_set(self._cfg)

    async def _read(self, read: Callable[[], Awaitable[T]]) -> T:
        """Once we have been connected, unreadable credentials are an outage and not bad input."""
        try:
            return await read()
        except _UNREADABLE as bad:
            message = f"credentials cannot be read: {bad}"
            raise OSError(message) from bad


def _ignore(_verb: str, _kind: Kind, _status: int, _seconds: float) -> None:
    """Nobody counts requests."""
