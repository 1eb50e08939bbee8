"""What a sandbox process prints, kept in a file that cannot fill the disk."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

LOG_BYTES_MAX = 1 << 20
"""A file is turned over at this size, so a process keeps at most two of it: enough for the last
minutes of anything that went wrong, and nothing that a day-long demo could fill a disk with."""

TAIL_LINES = 12
"""How many lines an error message shows: a panic's first lines, or a short traceback."""

TAIL_BYTES_MAX = 16_384
"""How much of the file's end is read for them."""


class BoundedLog:
    """One process's output: the file ``path`` and, once that was full, the older ``path.1``."""

    def __init__(self, path: Path, *, bytes_max: int = LOG_BYTES_MAX) -> None:
        self.path = path
        self._bytes_max = bytes_max
        self._written_bytes = 0
        self._file: BinaryIO | None = path.open("wb", buffering=0)

    def write(self, data: bytes) -> None:
        """Append; what arrives after `close` is lost, since nobody would read it."""
        if self._file is None:
            return
        if self._written_bytes + len(data) > self._bytes_max:
            self._turn_over()
        self._file.write(data)
        self._written_bytes += len(data)

    def tail(self, *, lines: int = TAIL_LINES) -> str:
        """The last lines, oldest first, for an error message; empty when nothing was printed."""
        with self.path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - TAIL_BYTES_MAX))
            text = file.read().decode("utf-8", "replace")
        return "\n".join(text.splitlines()[-lines:])

    def close(self) -> None:
        """End writing; calling it twice does no harm."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _turn_over(self) -> None:
        assert self._file is not None
        self._file.close()
        self.path.replace(self.path.with_name(self.path.name + ".1"))
        self._file = self.path.open("wb", buffering=0)
        self._written_bytes = 0
