"""What Istio's webhook takes of ours, in every form in which we may write it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import jsonpatch

from rollout.api.guard import Retries
from rollout.api.match import Match, TextMatch
from rollout.api.traffic import ManagedRoutes
from rollout.routes import managed, virtualservice
from tests.mesh.marks import ON_A_MESH
from tests.testbed import meshobjects
from tests.testbed.mesh import Mesh

pytestmark = ON_A_MESH

ODD = 'b +é&#~ "(x)-y\tz'
"""A cookie with all that a regular expression may take for something else."""

MATCHES = (
    Match(headers={"x-canary": TextMatch(exact="always"), "Y": TextMatch(regex="a|b")}),
    Match(cookies={"gro.up-x": TextMatch(exact=ODD)}),
    Match(cookies={"g": TextMatch(prefix="b.")}),
    Match(cookies={"g": TextMatch(regex="(?i)b[0-9]+|c")}),
)

OWN: tuple[dict[str, Any], ...] = (
    {},
    {"name": "p" * 300},
    {"name": "a/b c é", "mirror": {"host": "ratings"}, "mirrorPercent": 3},
    {"match": [{"name": "one", "statPrefix": "x", "uri": {"prefix": "/x"}}, {"port": 80}]},
    {"match": [{"headers": {"end-user": {}}, "withoutHeaders": {"x-canary": {}}}]},
    {"fault": {"abort": {"percentage": {"value": 1}, "httpStatus": 500}}, "rewrite": {"uri": "/"}},
)


async def test_managed_routes_are_taken_before_any_route_and_stay_as_written(world: Mesh) -> None:
    retries = Retries(attempts=3, per_try_timeout="500ms", retry_on="5xx,503")
    for number, own in enumerate(OWN):
        for match in MATCHES:
            wanted = ManagedRoutes(
                owner=f"{'n' * 63}/{'r' * 253}",
                match=match,
                mirror_percent=0.01,
                timeout="1h30m",
                retries=retries,
            )
            before = _virtual_service(world, f"s{number}", own)
            after = jsonpatch.apply_patch(before, _patch(world, before, wanted))
            path = world.path("virtualservices", "") + "?dryRun=All"

            stored = await world.bed.client.call("POST", path, body=after)

            assert len(stored["spec"]["http"]) == 3
            assert _patch(world, stored, wanted) == []


def _virtual_service(world: Mesh, name: str, own: dict[str, Any]) -> dict[str, Any]:
    legs = [
        {"destination": {"host": world.host, "subset": "v1"}, "weight": 100},
        {"destination": {"host": world.host, "subset": "v2"}},
    ]
    http = [{**own, "route": legs}]
    return meshobjects.istio_object(
        world.cast, "VirtualService", name, hosts=[f"{name}.example"], http=http
    )


def _patch(world: Mesh, manifest: dict[str, Any], wanted: ManagedRoutes) -> list[managed.Operation]:
    return virtualservice.weight_patch(
        manifest,
        host=world.host,
        namespace=world.cast.namespace,
        refs=(),
        stable="v1",
        canary="v2",
        canary_percent=Decimal(5),
        managed=wanted,
    )
