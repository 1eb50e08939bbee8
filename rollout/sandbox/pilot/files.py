"""Writes Envoy's files so that Envoy never reads half of one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rollout.sandbox.pilot.translate import XdsFiles

_EMPTY = XdsFiles(clusters=(), endpoints={}, routes={}, listeners=())


class Folder:
    """The folder that Envoy watches."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._written: dict[str, bytes] = {}

    def write(self, files: Mapping[str, bytes]) -> list[str]:
        """Replace the files that differ, in the given order; the names of those replaced.

        Envoy is told of a rename onto a watched name. It reads the file then, so an order of
        renames is an order of updates. Files that are no longer used stay: nobody reads them.
        """
        changed = [name for name, content in files.items() if self._written.get(name) != content]
        for name in changed:
            part = self._path / f".{name}.part"
            part.write_bytes(files[name])
            part.rename(self._path / name)
            self._written[name] = files[name]
        return changed


def write_empty(path: Path) -> None:
    """What Envoy needs to start before the pilot has read the world: no clusters, no listeners."""
    path.mkdir(parents=True, exist_ok=True)
    Folder(path).write(_EMPTY.encoded())
