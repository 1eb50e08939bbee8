"""The ground that a stage stands on: a loopback network and a folder that are its own."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import random
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rollout.base.errors import CannotStart
from rollout.sandbox.stage_objects import PORT, Cast

FOLDER_PREFIX = "rollout-stage-"
"""Followed by our process id, so that the folders of killed stages can be told and removed."""


@contextlib.contextmanager
def own_network(cast: Cast) -> Iterator[Cast]:
    """A loopback network that no other stage uses, held until the end by a bound socket."""
    numbers = random.SystemRandom().sample(range(1, 255), k=254)
    for number in numbers:
        network = f"127.{number}"
        with socket.socket() as holder:
            try:
                # A port nobody else would ask for on the network's last address.
                holder.bind((f"{network}.255.254", PORT))
            except OSError:
                continue
            yield dataclasses.replace(cast, network=network)
            return
    name, why = "the stage", "254 other stages hold all loopback networks; end some"
    raise CannotStart(name, why=why)


@contextlib.contextmanager
def own_folder() -> Iterator[Path]:
    """A temporary folder, removed at the end, as are those that killed stages left."""
    root = Path(tempfile.gettempdir())
    for left in root.glob(f"{FOLDER_PREFIX}*"):
        if _is_abandoned(left):
            shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{FOLDER_PREFIX}{os.getpid()}-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _is_abandoned(folder: Path) -> bool:
    """Whether the process that made ``folder`` is gone: it was killed, or it would be removed."""
    pid = folder.name.removeprefix(FOLDER_PREFIX).partition("-")[0]
    return pid.isdecimal() and not Path(f"/proc/{pid}").exists()
