"""The API server as a process of its own: ``python -m rollout.sandbox.apiserver --crds DIR``."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import pathlib
import signal
import sys
from collections.abc import Iterator
from typing import TypeGuard

import orjson
import yaml

from rollout.base import errors
from rollout.sandbox.apiserver.serving import Server, serve
from rollout.sandbox.apiserver.trees import Json
from rollout.sandbox.parent import die_with_parent

CRD_FILE_LIMIT_BYTES = 20 * 1024 * 1024  # Istio's whole set is 1 MB
_GARBAGE_THRESHOLD_COUNT = 50_000  # trees hold no cycles; look for them seldom


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m rollout.sandbox.apiserver", description=__doc__
    )
    parser.add_argument("--crds", nargs="*", type=pathlib.Path, default=[], metavar="PATH")
    parser.add_argument("--istio", action="store_true", help="serve the sandbox's Istio kinds too")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--kubeconfig-out", type=pathlib.Path, metavar="FILE")
    parser.add_argument("--namespace", default="default", help="of the kubeconfig's context")
    parser.add_argument("--secret", help="path prefix; a random one unless given")
    parser.add_argument("--log", type=pathlib.Path, metavar="FILE", help="log here, not to stderr")
    return parser.parse_args()


def crd_files(paths: list[pathlib.Path]) -> Iterator[pathlib.Path]:
    """Yield the YAML and JSON files that paths (files or folders) name."""
    for path in paths:
        if path.is_dir():
            yield from sorted(
                one for one in path.iterdir() if one.suffix in {".yaml", ".yml", ".json"}
            )
        else:
            yield path


def read_crds(paths: list[pathlib.Path]) -> list[Json]:
    """Read all CustomResourceDefinitions in files or folders; other objects are passed over.

    Raises:
        BadManifest: a file is too large or no YAML.
        OSError: a file cannot be read.
    """
    found: list[Json] = []
    for path in crd_files(paths):
        if path.stat().st_size > CRD_FILE_LIMIT_BYTES:
            raise errors.BadManifest(
                subject=str(path), field="file", problem="is too large", remedy="split it"
            )
        found.extend(one for one in _documents(path) if _is_definition(one))
    return found


def _documents(path: pathlib.Path) -> list[object]:
    """Parse a file with the C loader, which is ten times as quick; let Python's have a last look.

    The C library refuses a few plain scalars that YAML 1.2 allows.
    """
    raw = path.read_bytes()
    try:
        return list(yaml.load_all(raw, Loader=_QUICK_LOADER))
    except yaml.YAMLError:
        pass
    try:
        return list(yaml.safe_load_all(raw))
    except yaml.YAMLError as problem:
        raise errors.BadManifest(
            subject=str(path), field="file", problem=f"is no YAML: {problem}", remedy="mend it"
        ) from problem


def _is_definition(document: object) -> TypeGuard[Json]:
    return isinstance(document, dict) and document.get("kind") == "CustomResourceDefinition"


_QUICK_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def write_atomically(path: pathlib.Path, text: str) -> None:
    """Write a file for its owner alone, so that a reader sees all of it or nothing."""
    part = path.with_name(f"{path.name}.part{os.getpid()}")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    part.replace(path)


def _announce(server: Server, arguments: argparse.Namespace) -> None:
    kubeconfig = arguments.kubeconfig_out
    if kubeconfig is not None:
        write_atomically(kubeconfig, server.kubeconfig_text(arguments.namespace))
    said = {"url": server.url, "kubeconfig": str(kubeconfig) if kubeconfig else None}
    sys.stdout.write(orjson.dumps(said).decode() + "\n")
    sys.stdout.flush()


def _log_to(path: pathlib.Path | None) -> None:
    stream = path.open("a", encoding="utf-8") if path else sys.stderr
    logging.basicConfig(stream=stream, level=logging.WARNING)


async def _run(arguments: argparse.Namespace, crds: list[Json]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with serve(crds, arguments.port, secret=arguments.secret) as server:
        _announce(server, arguments)
        gc.freeze()
        await stop.wait()


def main() -> int:
    """Run until SIGTERM, SIGINT or the end of the parent; return the exit status."""
    die_with_parent()
    arguments = _arguments()
    _log_to(arguments.log)
    gc.set_threshold(_GARBAGE_THRESHOLD_COUNT)
    try:
        crds = read_crds(arguments.crds)
        if arguments.istio:
            from rollout.sandbox import crds as istio  # noqa: PLC0415  only when asked for

            crds.extend(istio.istio_crds())
        asyncio.run(_run(arguments, crds))
    except (errors.RolloutError, OSError) as problem:
        sys.stderr.write(f"{problem}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
