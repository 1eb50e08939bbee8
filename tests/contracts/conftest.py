"""The API servers that the cluster contract runs against.

Another backend is one more name in ``BACKENDS`` and one more branch in the fixture.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from rollout.sandbox.apiserver import serve
from tests.sandbox.apiclient import Api, connected
from tests.sandbox.apiserver_samples import crd

BACKENDS = ("sandbox",)


@pytest.fixture(params=BACKENDS)
async def apiserver(request: pytest.FixtureRequest) -> AsyncIterator[Api]:
    assert request.param == "sandbox", "the only backend so far"
    async with serve([crd()]) as server, connected(server.url) as api:
        yield api
