"""Names of Rollouts for the shell's completion: quick, and silent when anything is wrong."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import typer

from rollout.base import errors

PATIENCE_SECONDS = 2.0
"""A person who has pressed Tab does not wait for longer."""


def rollout_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """The Rollouts of the chosen namespace whose names begin so."""
    where = {
        name: str(ctx.params.get(name) or "") for name in ("kubeconfig", "context", "namespace")
    }
    names: list[str] = []
    with contextlib.suppress(errors.RolloutError, OSError, TimeoutError):
        names = asyncio.run(_names(where))
    return [name for name in names if name.startswith(incomplete)]


def policy_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """The policies that reach the chosen namespace and whose names begin so."""
    where = {
        name: str(ctx.params.get(name) or "") for name in ("kubeconfig", "context", "namespace")
    }
    names: list[str] = []
    with contextlib.suppress(errors.RolloutError, OSError, TimeoutError):
        names = asyncio.run(_policies(where))
    return [name for name in names if name.startswith(incomplete)]


async def _policies(where: dict[str, Any]) -> list[str]:
    from rollout.wiring import client, connect, freezing  # noqa: PLC0415 - as above

    async with asyncio.timeout(PATIENCE_SECONDS), connect.client(**where) as connected:
        found = await freezing.policies(connected, everywhere=False)
        return sorted({client.key_of(manifest).name for manifest in found.manifests})


async def _names(where: dict[str, Any]) -> list[str]:
    from rollout.wiring import client, connect  # noqa: PLC0415 - only completion pays for it

    async with asyncio.timeout(PATIENCE_SECONDS), connect.client(**where) as connected:
        return [client.key_of(found).name for found in await connected.rollouts()]
