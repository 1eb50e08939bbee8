"""``python -m rollout`` and the console script."""

from __future__ import annotations

from rollout.cli.main import main

if __name__ == "__main__":
    main()
