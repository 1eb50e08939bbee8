"""One world in a box for all tests as a person would do them; each test begins it anew."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from rollout.sandbox.stage import Script, stage
from tests.endtoend.hands import RPS, Hands

CRDS = Path(__file__).parents[2] / "manifests" / "crds"


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def _world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Hands]:
    async with stage(Script(rps=RPS, crds=[CRDS])) as up:
        await up.until_scraped()
        yield Hands(up, tmp_path_factory.mktemp("home"))


@pytest_asyncio.fixture(loop_scope="session")
async def world(_world: Hands) -> AsyncIterator[Hands]:
    """The world with all traffic on v1 and nothing of ours in it; no controller runs yet."""
    await _world.begin()
    yield _world
    await _world.dismiss()
