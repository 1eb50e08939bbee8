"""One mesh for all tests here; each test has a namespace of its own in it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from rollout.sandbox.stage_objects import Cast
from tests.mesh.report import Report
from tests.testbed.bed import Bed, bed
from tests.testbed.mesh import Mesh, scene


@pytest.fixture(scope="session")
def report(request: pytest.FixtureRequest) -> Iterator[Report]:
    found = Report()
    yield found
    if found.tasks or found.endings:
        # A table of half of the tests would be taken for all of them.
        is_whole = not request.session.testsfailed
        found.write(with_table=request.config.getoption("--table") and is_whole)


@pytest.fixture(autouse=True)
def _task(request: pytest.FixtureRequest, report: Report) -> None:
    """Which of Istio's tasks a test is of, whatever becomes of it."""
    for marker in request.node.iter_markers("task"):
        report.begin(marker.args[0], test=request.node.name)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def _bed(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bed]:
    async with bed(tmp_path_factory.mktemp("mesh")) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def world(_bed: Bed, request: pytest.FixtureRequest) -> AsyncIterator[Mesh]:
    """A service `reviews` with all traffic on v1 and four versions up; no Rollout yet."""
    name = re.sub("[^a-z0-9]+", "-", request.node.name.removeprefix("test_"))[:50].strip("-")
    async with scene(_bed, Cast(namespace=name)) as up:
        yield up
