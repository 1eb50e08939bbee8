"""``python -m tests.artefacts`` writes the generated files; ``--check`` says which are stale."""

from __future__ import annotations

import argparse
import sys

from tests import artefacts


def main() -> int:
    """Return 1 when ``--check`` finds a file that is not up to date."""
    parser = argparse.ArgumentParser(prog="python -m tests.artefacts", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing")
    check = parser.parse_args().check
    changed = artefacts.stale(artefacts.ROOT) if check else artefacts.write(artefacts.ROOT)
    for path in changed:
        sys.stdout.write(f"{'stale' if check else 'written'}: {path}\n")
    return 1 if check and changed else 0


if __name__ == "__main__":
    raise SystemExit(main())
