"""``python -m tests.people.slackworld --port-file F``: the stand-in as a process of its own."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
from pathlib import Path

from tests.people.slackworld import control
from tests.people.slackworld.server import serving


async def run(port_file: Path, *, port: int, limited: bool) -> None:
    """Serve until a signal; the file holds the address once it can be used."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for sign in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sign, ended.set)
    async with serving(port=port, limited=limited, extend=control.add) as slack:
        partial = port_file.with_suffix(f".{os.getpid()}")
        partial.write_text(slack.address)
        partial.replace(port_file)
        await ended.wait()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.people.slackworld", description=__doc__)
    parser.add_argument("--port-file", type=Path, required=True, help="gets the address")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--limited", action="store_true", help="count calls, as Slack does")
    given = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run(given.port_file, port=given.port, limited=given.limited))


if __name__ == "__main__":
    main()
