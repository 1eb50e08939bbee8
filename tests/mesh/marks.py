"""What every test on the mesh is marked with."""

from __future__ import annotations

import pytest

from tests.testbed import istio

WHY_NOT = istio.why_not()

ON_A_MESH = [
    pytest.mark.servers,
    pytest.mark.mesh,
    pytest.mark.timeout(300),
    pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "all is there"),
    pytest.mark.asyncio(loop_scope="session"),
]
