"""Prometheus: where its binary comes from, its configuration, and how to start it."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from rollout.base.errors import CannotStart
from rollout.sandbox.metrics_rules import (
    ARRIVAL_FILTER,
    ARRIVAL_RULES,
    FILTER,
    RULES,
    Rule,
    target_labels,
)
from rollout.sandbox.processes import Command, Probe, free_port

NAME = "prometheus"

SCRAPE_SECONDS = 1
"""As often as Prometheus can usefully ask; a demo has no time for Istio's usual 15 s."""

SCRAPE_TIMEOUT_SECONDS = 0.9
"""Must not exceed the interval."""

RETENTION_HOURS = 6
"""Longer than any demo or rehearsal; bounds the disk at some 20 MB."""

DOWNLOAD_SECONDS_MAX = 180.0
"""For 19 MB from a Debian mirror, over a slow line."""

_UNPACK = "dpkg -x prometheus_*.deb . && test -x usr/bin/prometheus"

HOW_TO_GET_IT = (
    "it is not on PATH and could not be fetched with apt-get; "
    "unpack a release from https://prometheus.io/download and put it on PATH"
)


async def find_binary(cache: Path) -> Path:
    """Prometheus from PATH, else from ``cache``, else from Debian's package, kept in ``cache``.

    The package is unpacked, not installed: installing it would start a service.

    Raises:
        CannotStart: there is none and none can be fetched; says how to get one.
    """
    on_path = shutil.which("prometheus")
    if on_path is not None:
        return Path(on_path)
    cached = cache / "prometheus"
    if not cached.exists():
        await _fetch(cached)
    return cached


async def _fetch(target: Path) -> None:
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        raise CannotStart(NAME, why=HOW_TO_GET_IT)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as text:
        folder = Path(text)
        download = ["apt-get", "download", "prometheus"]
        is_there, said = await _run(download, folder=folder)
        if not is_there and os.geteuid() == 0:
            await _run(["apt-get", "update"], folder=folder)
            is_there, said = await _run(download, folder=folder)
        if is_there:
            is_there, said = await _run(["sh", "-c", _UNPACK], folder=folder)
        if not is_there:
            raise CannotStart(NAME, why=HOW_TO_GET_IT, log=said)
        # A rename, so that a stage that starts meanwhile sees all of it or nothing.
        (folder / "usr/bin/prometheus").replace(target)


async def _run(argv: Sequence[str], *, folder: Path) -> tuple[bool, str]:
    """Whether it succeeded, and the last of what it said."""
    process = await asyncio.create_subprocess_exec(
        *argv,
        cwd=folder,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(DOWNLOAD_SECONDS_MAX):
            said, _ = await process.communicate()
    except TimeoutError:
        return False, f"{argv[0]} took longer than {DOWNLOAD_SECONDS_MAX:g} s"
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode == 0, said.decode("utf-8", "replace")[-1000:]


def configuration(
    envoy: str, *, namespace: str, targets: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Prometheus' configuration.

    Args:
        envoy: address of Envoy's admin interface.
        namespace: the caller's.
        targets: further jobs, name to ``host:port``; scraped at ``/metrics``, not relabelled.
    """

    def asks(job: str, reporter: str, wanted: str, rules: Sequence[Rule]) -> dict[str, Any]:
        labels = target_labels(namespace=namespace, reporter=reporter)
        return {
            "job_name": job,
            "metrics_path": "/stats/prometheus",
            "params": {"filter": [wanted]},
            "static_configs": [{"targets": [envoy], "labels": labels}],
            "metric_relabel_configs": list(rules),
        }

    others = [
        {"job_name": name, "static_configs": [{"targets": [address]}]}
        for name, address in sorted((targets or {}).items())
    ]
    timeout = f"{round(SCRAPE_TIMEOUT_SECONDS * 1000)}ms"
    return {
        "global": {"scrape_interval": f"{SCRAPE_SECONDS}s", "scrape_timeout": timeout},
        "scrape_configs": [
            asks("envoy", "source", FILTER, RULES),
            *others,
            asks("arrivals", "destination", ARRIVAL_FILTER, ARRIVAL_RULES),
        ],
    }


def command(program: Path, *, folder: Path, config: Mapping[str, Any], probe: Probe) -> Command:
    """How to start Prometheus with its data in ``folder``, on a free port."""
    port = free_port()
    file = folder / "prometheus.yml"
    file.write_bytes(orjson.dumps(config))  # JSON is YAML

    async def is_ready() -> bool:
        return await probe(f"http://127.0.0.1:{port}/-/ready")

    return Command(
        name=NAME,
        argv=[
            str(program),
            f"--config.file={file}",
            f"--web.listen-address=127.0.0.1:{port}",
            f"--storage.tsdb.path={folder / 'tsdb'}",
            f"--storage.tsdb.retention.time={RETENTION_HOURS}h",
            "--log.level=warn",
        ],
        is_ready=is_ready,
        port=port,
    )
