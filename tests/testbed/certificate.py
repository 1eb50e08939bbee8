"""Self-made certificates."""

from __future__ import annotations

import asyncio
from pathlib import Path

from rollout.base.errors import CannotStart


async def make(folder: Path, *, name: str, alternative: str) -> None:
    """Write ``tls.crt`` and ``tls.key`` for a server; the certificate vouches for itself.

    Args:
        folder: is there.
        name: the common name.
        alternative: what callers ask for, as openssl spells it: ``IP:127.0.0.1``.

    Raises:
        CannotStart: openssl is missing or refuses.
    """
    quiet = asyncio.subprocess.DEVNULL
    try:
        process = await asyncio.create_subprocess_exec(
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", f"/CN={name}", "-addext", f"subjectAltName={alternative}"),
            *("-keyout", str(folder / "tls.key"), "-out", str(folder / "tls.crt")),
            stdin=quiet,
            stdout=quiet,
            stderr=quiet,
        )
    except FileNotFoundError:
        raise CannotStart(name, why="openssl is not on PATH, for its certificate") from None
    if await process.wait():
        raise CannotStart(name, why="openssl made no certificate for it")
