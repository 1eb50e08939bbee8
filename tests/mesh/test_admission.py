"""What Istio's own webhook says to our writes: a refusal, a warning, and what is our doing."""

from __future__ import annotations

from typing import Any

import pytest

from rollout.adapters.kubernetes import connect
from rollout.api.meta import VIRTUAL_SERVICE, Key
from rollout.base.errors import RolloutError
from rollout.ports import Written
from rollout.routes import names, remarks
from tests.mesh.marks import ON_A_MESH
from tests.testbed.mesh import Mesh

pytestmark = ON_A_MESH

DEPRECATED = 'using deprecated setting "mirrorPercent", use "mirrorPercentage" instead'


async def write(world: Mesh, *routes: dict[str, Any]) -> Written:
    """Write the http routes as our client does."""
    cluster = await connect(world.bed.plane.kubeconfig())
    try:
        key = Key(world.cast.namespace, world.cast.service)
        return await cluster.patch(VIRTUAL_SERVICE, key, {"spec": {"http": list(routes)}})
    finally:
        await cluster.close()


async def test_istios_webhook_refuses_weights_that_add_up_to_nothing(world: Mesh) -> None:
    with pytest.raises(RolloutError, match="total destination weight = 0"):
        await world.set_weights(v1=0, v2=0)

    assert await world.weights() == {"v1": 100}


async def test_a_warning_of_istios_webhook_is_told_once_in_a_run_peers_165(world: Mesh) -> None:
    (route,) = world.routes(v1=100, v2=0)
    mirrored = {"mirror": {"host": world.cast.service, "subset": "v4"}, "mirrorPercent": 1}
    assert (await write(world, route | mirrored)).warnings == (DEPRECATED,)
    await world.start_load(rps=200)
    await world.put_on({"weight": 20, "hold": "3s"}, {"weight": 50, "hold": "3s"})

    await world.want("v2")
    await world.until_over()

    events, _ = await world.bed.client.list(f"/api/v1/namespaces/{world.cast.namespace}/events")
    told = [one for one in events if one["reason"] == "AdmissionWarning"]
    wrote = f"VirtualService {world.cast.namespace}/{world.cast.service} was written"
    (event,) = told
    assert event["type"] == "Warning"
    assert event["message"] == f"{wrote}, with a warning: {DEPRECATED}"


async def test_a_copy_in_front_of_its_original_is_warned_of_in_words_that_we_know(
    world: Mesh,
) -> None:
    (route,) = world.routes(v1=100, v2=0)
    owner = f"{world.cast.namespace}/{world.cast.service}"
    copy = route | {"name": names.named(owner, kind=names.COPY, label="primary")}
    matching = [{"uri": {"prefix": "/a"}}, {"headers": {"x-b": {"exact": "c"}}}]
    first = {"name": "first", "match": matching}

    covered = await write(world, copy, route)
    nameless = await write(world, copy, {"route": route["route"]})
    matched = await write(world, copy | {"match": matching}, route | first, route)
    without = await write(world, route, route | {"name": "second"})

    for written in (covered, nameless, matched):
        assert written.warnings
        assert remarks.worth_telling(written.object, written.warnings) == ()
    assert remarks.worth_telling(without.object, without.warnings) == without.warnings != ()
