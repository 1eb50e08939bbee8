"""What the shell completes: Rollouts, revisions, runs; quick, and silent when anything is wrong."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, TypeVar

import typer

from rollout.base import errors
from rollout.cli.place import OPENER, Opener

if TYPE_CHECKING:
    from rollout.wiring.client import Client

T = TypeVar("T")

PATIENCE_SECONDS = 2.0
"""A person who has pressed Tab does not wait for longer."""


def rollout_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """The Rollouts of the chosen namespace whose names begin so."""

    async def names(client: Client) -> list[str]:
        return [str(found["metadata"]["name"]) for found in await client.rollouts()]

    return [name for name in _asked(ctx, names) if name.startswith(incomplete)]


def policy_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """The policies that reach the chosen namespace and whose names begin so."""

    async def names(client: Client) -> list[str]:
        from rollout.wiring import freezing  # noqa: PLC0415 - only completion pays for it

        found = await freezing.policies(client, everywhere=False)
        return sorted({str(manifest["metadata"]["name"]) for manifest in found.manifests})

    return [name for name in _asked(ctx, names) if name.startswith(incomplete)]


def revisions(ctx: typer.Context, incomplete: str) -> list[str]:
    """The subsets of the Rollout's host, other than the wanted one, whose names begin so."""

    async def names(client: Client) -> list[str]:
        from rollout.wiring import surveys  # noqa: PLC0415 - only completion pays for it

        manifest = await client.rollout(_name(ctx))
        wanted = (manifest.get("spec") or {}).get("revision")
        return [name for name in await surveys.subsets(client, manifest) if name != wanted]

    return [name for name in _asked(ctx, names) if name.startswith(incomplete)]


def run_ids(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """The runs on record, the newest first, each with what it was."""

    async def known(client: Client) -> list[tuple[str, str]]:
        from rollout.views import subject  # noqa: PLC0415 - only completion pays for it

        seen = subject.read(await client.rollout(_name(ctx)))
        active = seen.active
        present = [] if active is None else [(active.id, f"{active.canary_revision}, in progress")]
        past = [(one.id, f"{one.revision}, {one.outcome}") for one in seen.status.history]
        return [*present, *past]

    return [(run, what) for run, what in _asked(ctx, known) if run.startswith(incomplete)]


def _name(ctx: typer.Context) -> str:
    """The Rollout that was typed; behind an option without its value nothing is an argument yet."""
    return str(ctx.params.get("name") or next(iter(ctx.args), ""))


def _asked(ctx: typer.Context, ask: Callable[[Client], Awaitable[list[T]]]) -> list[T]:
    """What the cluster answers, or nothing."""
    where = {
        name: str(ctx.params.get(name) or "") for name in ("kubeconfig", "context", "namespace")
    }
    known = ctx.obj if isinstance(ctx.obj, dict) else {}
    found: list[T] = []
    with contextlib.suppress(errors.RolloutError, OSError, TimeoutError):
        found = asyncio.run(_ask(where, ask, opener=known.get(OPENER)))
    return found


async def _ask(
    where: Mapping[str, str],
    ask: Callable[[Client], Awaitable[list[T]]],
    *,
    opener: Opener | None,
) -> list[T]:
    if opener is None:
        from rollout.wiring import connect  # noqa: PLC0415 - only completion pays for it

        opener = connect.client
    async with asyncio.timeout(PATIENCE_SECONDS), opener(**where) as client:
        return await ask(client)
