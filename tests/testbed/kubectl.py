"""Runs the real kubectl against a control plane."""

from __future__ import annotations

import asyncio
import os
import shutil
from dataclasses import dataclass

import orjson

from tests.testbed.controlplane import ADMIN, ControlPlane

COMMAND_SECONDS = 60.0

WHY_NOT = "" if shutil.which("kubectl") else "kubectl is not on PATH"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kubectl:
    """Runs kubectl as one user."""

    world: ControlPlane
    user: str = ADMIN

    async def run(
        self, *words: str, given: object = None, program: str = "kubectl"
    ) -> tuple[int, str]:
        """Run it, or another program; the exit code, and what was printed, errors last."""
        process = await asyncio.create_subprocess_exec(
            program,
            *words,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.world.folder),
                "KUBECONFIG": str(self.world.kubeconfig(self.user)),
                "NO_PROXY": "127.0.0.1",
            },
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(COMMAND_SECONDS):
            out, err = await process.communicate(orjson.dumps(given))  # JSON is YAML
        return process.returncode or 0, out.decode() + err.decode()


def encoded(document: object) -> str:
    """An argument of kubectl's that is JSON."""
    return orjson.dumps(document).decode()
