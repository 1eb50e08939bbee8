"""Where the server is and who we are: kubeconfigs, pods, and credentials that change."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from rollout.adapters import kubernetes
from rollout.api.meta import LEASE, Key
from rollout.base import errors

KEY = Key("shop", "a")


class Server:
    """A server that accepts one authorization, and remembers what it was shown.

    Attributes:
        accepted: the header's value; None accepts all.
        shown: what it has been shown.
        url: where it is.
    """

    def __init__(self) -> None:
        self.accepted: str | None = None
        self.shown: list[str | None] = []
        self.certificates: list[Any] = []
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        self.shown.append(request.headers.get("Authorization"))
        assert request.transport is not None
        self.certificates.append(request.transport.get_extra_info("peercert"))
        if self.accepted is not None and self.shown[-1] != self.accepted:
            return web.json_response({"code": 401, "message": "Unauthorized"}, status=401)
        return web.json_response({"metadata": {"name": "a"}})


@asynccontextmanager
async def serving(tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    server = Server()
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", server.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    server.url = f"{'https' if tls else 'http'}://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        await runner.cleanup()


def kubeconfig(path: Path, url: str, user: dict[str, Any], **cluster: Any) -> Path:
    file = path / "kubeconfig"
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "clusters": [{"name": "here", "cluster": {"server": url, **cluster}}],
        "users": [{"name": "me", "user": user}],
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
    }
    file.write_text(yaml.safe_dump(document))
    return file


def plugin(path: Path, *, expires: str) -> dict[str, Any]:
    """An exec plugin that hands out a new token each time, and counts."""
    script = path / "plugin.sh"
    stamp = f', "expirationTimestamp": "{expires}"' if expires else ""
    script.write_text(
        f"""#!/bin/sh
echo x >> {path}/runs
n=$(wc -l < {path}/runs | tr -d ' ')
echo '{{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",'
echo '"status": {{"token": "token-'$n'"{stamp}}}}}'
"""
    )
    script.chmod(0o755)
    return {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": str(script),
            "interactiveMode": "Never",
        }
    }


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority (ca), a server and a client that it has signed."""
    path = tmp_path_factory.mktemp("certificates")

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=path, check=True, capture_output=True)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=ca")
    for name in ("server", "client"):
        (path / "san").write_text("subjectAltName=IP:127.0.0.1\n")
        openssl("req", *key, "-keyout", f"{name}.key", "-out", "csr", "-subj", f"/CN={name}")
        signing = ("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "san")
        openssl("x509", "-req", "-in", "csr", *signing, "-out", f"{name}.crt")
    return path


def tls_of(path: Path, *, wants_client: bool = False) -> ssl.SSLContext:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(path / "server.crt", path / "server.key")
    if wants_client:
        tls.load_verify_locations(path / "ca.crt")
        tls.verify_mode = ssl.CERT_REQUIRED
    return tls


def minutes_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every look at credentials is due from now on."""
    monkeypatch.setattr(kubernetes, "RENEW_SECONDS", 0.0)
    monkeypatch.setattr(kubernetes, "RENEW_SECONDS_MIN", 0.0)


async def test_a_token_of_the_kubeconfig_is_sent(tmp_path: Path) -> None:
    async with serving() as server:
        cluster = await kubernetes.connect(kubeconfig(tmp_path, server.url, {"token": "secret"}))
        await cluster.get(LEASE, KEY)
        await cluster.close()

    assert server.shown == ["Bearer secret"]


async def test_a_server_url_may_have_a_path(tmp_path: Path) -> None:
    async with serving() as server:
        cluster = await kubernetes.connect(kubeconfig(tmp_path, f"{server.url}/secret/", {}))
        found = await cluster.get(LEASE, KEY)
        await cluster.close()

    assert found["metadata"]["name"] == "a"
    assert server.shown == [None]


async def test_a_token_file_is_read_again_when_time_has_passed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = tmp_path / "token"
    token.write_text("old\n")
    async with serving() as server:
        user = {"tokenFile": str(token)}
        cluster = await kubernetes.connect(kubeconfig(tmp_path, server.url, user))
        await cluster.get(LEASE, KEY)
        token.write_text("new\n")
        await cluster.get(LEASE, KEY)
        minutes_pass(monkeypatch)
        await cluster.get(LEASE, KEY)
        await cluster.close()

    assert server.shown == ["Bearer old", "Bearer old", "Bearer new"]


async def test_a_401_makes_us_read_the_credentials_and_ask_once_more(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("old")
    async with serving() as server:
        user = {"tokenFile": str(token)}
        cluster = await kubernetes.connect(kubeconfig(tmp_path, server.url, user))
        token.write_text("new")
        server.accepted = "Bearer new"
        await cluster.get(LEASE, KEY)
        server.accepted = "Bearer other"
        with pytest.raises(errors.Denied) as caught:
            await cluster.get(LEASE, KEY)
        await cluster.close()

    assert server.shown[:2] == ["Bearer old", "Bearer new"]
    assert caught.value.status_code == 401


async def test_an_exec_plugin_is_asked_again_when_its_token_has_expired(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving() as server:
        user = plugin(tmp_path, expires="2020-01-01T00:00:00Z")
        cluster = await kubernetes.connect(kubeconfig(tmp_path, server.url, user))
        await cluster.get(LEASE, KEY)
        minutes_pass(monkeypatch)
        await cluster.get(LEASE, KEY)
        await cluster.close()

    assert server.shown == ["Bearer token-1", "Bearer token-2"]


async def test_an_exec_plugin_without_expiry_is_asked_again_only_after_a_401(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving() as server:
        user = plugin(tmp_path, expires="")
        cluster = await kubernetes.connect(kubeconfig(tmp_path, server.url, user))
        minutes_pass(monkeypatch)
        for _ in range(3):
            await cluster.get(LEASE, KEY)
        server.accepted = "Bearer token-2"
        await cluster.get(LEASE, KEY)
        await cluster.close()

    assert server.shown == ["Bearer token-1"] * 4 + ["Bearer token-2"]
    assert (tmp_path / "runs").read_text().count("x") == 2


async def test_a_client_certificate_is_shown_and_the_servers_is_checked(
    tmp_path: Path, certificates: Path
) -> None:
    user = {
        "client-certificate": str(certificates / "client.crt"),
        "client-key": str(certificates / "client.key"),
    }
    async with serving(tls_of(certificates, wants_client=True)) as server:
        authority = {"certificate-authority": str(certificates / "ca.crt")}
        file = kubeconfig(tmp_path, server.url, user, **authority)
        cluster = await kubernetes.connect(file)
        await cluster.get(LEASE, KEY)
        await cluster.close()
        stranger = await kubernetes.connect(kubeconfig(tmp_path, server.url, user))
        with pytest.raises(errors.Unreachable, match="certificate"):
            await stranger.get(LEASE, KEY)
        await stranger.close()

    assert server.certificates[0]["subject"] == ((("commonName", "client"),),)


async def test_in_a_pod_the_service_account_is_used_and_its_token_read_again(
    tmp_path: Path, certificates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    incluster = sys.modules["kubernetes_asyncio.config.incluster_config"]
    token = tmp_path / "token"
    token.write_text("old")
    monkeypatch.setattr(incluster, "SERVICE_TOKEN_FILENAME", str(token))
    monkeypatch.setattr(incluster, "SERVICE_CERT_FILENAME", str(certificates / "ca.crt"))
    async with serving(tls_of(certificates)) as server:
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", server.url.rpartition(":")[2])
        cluster = await kubernetes.connect()
        await cluster.get(LEASE, KEY)
        token.write_text("new")
        server.accepted = "Bearer new"
        await cluster.get(LEASE, KEY)
        await cluster.close()

    assert server.shown == ["Bearer old", "Bearer old", "Bearer new"]


async def test_credentials_that_cannot_be_read_any_more_are_an_outage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = tmp_path / "token"
    token.write_text("old")
    async with serving() as server:
        user = {"tokenFile": str(token)}
        cluster = await kubernetes.connect(kubeconfig(tmp_path, server.url, user))
        token.unlink()
        minutes_pass(monkeypatch)
        with pytest.raises(errors.Unreachable, match="credentials cannot be read"):
            await cluster.get(LEASE, KEY)
        token.write_text("new")
        await cluster.get(LEASE, KEY)
        await cluster.close()

    assert server.shown == ["Bearer new"]


@pytest.mark.parametrize(
    "text",
    ["", "{", "[1, 2]", "current-context: nowhere", "contexts: 7\ncurrent-context: a", "x: y"],
)
async def test_a_kubeconfig_that_is_wrong_is_bad_input(tmp_path: Path, text: str) -> None:
    (tmp_path / "kubeconfig").write_text(text)

    with pytest.raises(errors.BadInput, match="configuration of the cluster"):
        await kubernetes.connect(tmp_path / "kubeconfig")


async def test_a_kubeconfig_that_is_not_there_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(errors.BadInput, match="configuration of the cluster"):
        await kubernetes.connect(tmp_path / "nothing")


async def test_outside_a_pod_the_service_account_is_bad_input(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)

    with pytest.raises(errors.BadInput, match="Service host"):
        await kubernetes.connect(in_cluster=True)


def test_the_generated_models_are_not_imported_and_stay_importable() -> None:
    program = """
import sys
import rollout.adapters.kubernetes
ours = [name for name in sys.modules if name.startswith("kubernetes_asyncio")]
assert len(ours) < 20, ours
assert not any(".models" in name or ".api" in name for name in ours), ours
assert "kubernetes_asyncio" not in ours

import kubernetes_asyncio.client
from kubernetes_asyncio import config
assert kubernetes_asyncio.client.V1Pod and config.load_kube_config
assert kubernetes_asyncio.client.ApiClient is not None
"""

    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )

    assert done.returncode == 0, done.stderr
