"""What other objects do to a Rollout's routes: gathered from caches, read once a version."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from rollout.api.meta import Key, Manifest
from rollout.api.rollout import Traffic
from rollout.api.traffic import Note, Outlook, Routing
from rollout.controller.cache import EXPORT_TO, Cache, key_of, versions
from rollout.controller.endpoints import service_of
from rollout.controller.world import World, delegates, parsed_key, served_hosts
from rollout.routes import callers, destinationrule, fronts, ports, sidecars, visibility
from rollout.routes.fields import Finding
from rollout.routes.fronts import EVERYWHERE, Front
from rollout.routes.visibility import Scene


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Whose surroundings are looked at.

    Attributes:
        key: the Rollout.
        host: the full name of its service.
        traffic: the objects that the Rollout names.
        pair: the stable and the canary subset.
        mine: the VirtualServices that may hold its routes.
        manages: whether its run will put routes of its own before the owned ones.
    """

    key: Key
    host: str
    traffic: Traffic
    pair: tuple[str, str]
    mine: Sequence[Manifest]
    manages: bool = False

    @property
    def where(self) -> str:
        """The namespace whose DestinationRules act for callers without rules of their own."""
        ref = self.traffic.destination_rule
        if ref is not None:
            return ref.namespace or self.key.namespace
        return service_of(self.host, namespace=self.key.namespace).namespace


@dataclass(frozen=True, slots=True, kw_only=True)
class _Near:
    """The objects that matter to a Rollout; of a VirtualService everything but its weights."""

    fronts: tuple[Front, ...]
    rules: tuple[Manifest, ...]
    services: tuple[Manifest, ...]
    entries: tuple[Manifest, ...]
    sidecars: tuple[Manifest, ...]
    filters: tuple[Manifest, ...]

    def stamp(self) -> tuple[object, ...]:
        """Equal only when nothing about them has changed."""
        kinds = (self.rules, self.services, self.entries, self.sidecars, self.filters)
        return self.fronts, tuple(versions(found) for found in kinds)


class Lookout:
    """Looks around for Rollouts; of each it remembers what it saw last."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._known: dict[Key, tuple[object, Outlook]] = {}
        self._fronts: dict[Key, tuple[object, Front]] = {}

    def forget(self, key: Key) -> None:
        """The Rollout is gone."""
        self._known.pop(key, None)

    def look(self, place: Place, routing: Routing) -> Outlook:
        """What is around the routes; told anew only when something has changed."""
        near = self._near(place)
        owned = frozenset((r.virtual_service, r.protocol, r.route) for r in routing.routes)
        stamp = (place.host, place.where, place.pair, place.manages, owned, near.stamp())
        known = self._known.get(place.key)
        if known is not None and known[0] == stamp:
            return known[1]
        outlook = self._look(place, routing, near)
        self._known[place.key] = (stamp, outlook)
        return outlook

    def _look(self, place: Place, routing: Routing, near: _Near) -> Outlook:
        scene = visibility.scene(
            near.fronts,
            host=place.host,
            namespace=place.key.namespace,
            routing=routing,
            mine=frozenset(str(key_of(manifest)) for manifest in place.mine),
        )
        said = [
            *visibility.delegation(scene, watched=self._world.namespace),
            *visibility.rivals(scene),
            *callers.look(_calls(place, near, scene)),
            *_about_ports(scene, near),
            *visibility.edges(scene),
            *visibility.unseen(scene, service_exports=_service_exports(near)),
            *_about_sidecars(place, scene, near),
            *visibility.filtered(scene, _filters(near) if place.manages else ()),
        ]
        problems = dict.fromkeys(one.problem for one in said if isinstance(one, Finding))
        notes = dict.fromkeys(one for one in said if isinstance(one, Note))
        return Outlook(problems=tuple(problems), notes=tuple(notes))

    def _front(self, manifest: Manifest) -> Front:
        """Read once a version: many Rollouts may be around one VirtualService.

        It stays the same object while only weights move, so that comparing it costs nothing.
        """
        key, version = key_of(manifest), versions([manifest])
        known = self._fronts.get(key)
        if known is None or known[0] != version:
            self._tidy()
            front = fronts.read(manifest)
            if known is not None and known[1] == front:
                front = known[1]
            known = self._fronts[key] = (version, front)
        return known[1]

    def _tidy(self) -> None:
        if len(self._fronts) > 2 * len(self._world.virtual_services):
            there = self._world.virtual_services
            self._fronts = {key: front for key, front in self._fronts.items() if key in there}

    def _near(self, place: Place) -> _Near:
        world = self._world
        service = service_of(place.host, namespace=place.key.namespace)
        known = world.services.get(service)
        return _Near(
            fronts=tuple(self._front(manifest) for manifest in self._virtual_services(place)),
            rules=_by(world.destination_rules, (place.host, *callers.wildcards(place.host))),
            services=() if known is None else (known,),
            entries=world.service_entries.by("host", place.host),
            sidecars=tuple(self._sidecars(place)),
            filters=tuple(self._filters(place)),
        )

    def _filters(self, place: Place) -> Iterator[Manifest]:
        """Those that may well mean our routes: names such as ``primary`` are everybody's."""
        near = {place.key.namespace, callers.ROOT_NAMESPACE}
        near |= {manifest["metadata"]["namespace"] for manifest in place.mine}
        return (one for one in self._world.envoy_filters if one["metadata"]["namespace"] in near)

    def _virtual_services(self, place: Place) -> Iterator[Manifest]:
        """Those for the host or that send to it, what leads there, and what they share hosts with.

        One step of delegation is enough: a delegate must not delegate.
        """
        cache = self._world.virtual_services
        about = {key_of(m): m for m in (*cache.by("host", place.host), *place.mine)}
        roots = {key_of(m): m for m in _by(cache, map(str, about), index="delegate")}
        names = frozenset(str(key_of(manifest)) for manifest in place.mine)
        ours = [m for m in roots.values() if not names.isdisjoint(delegates(m))]
        hosts = {host for m in (*place.mine, *ours) for host in served_hosts(m)}
        shared = {key_of(part): part for part in _by(cache, sorted(hosts))}
        found = about | roots | shared
        for name in [name for m in found.values() for name in delegates(m)]:
            target = cache.get(parsed_key(name))
            if target is not None:
                found[key_of(target)] = target
        return iter(found.values())

    def _sidecars(self, place: Place) -> Iterator[Manifest]:
        """All of them only where service and VirtualService are in different namespaces."""
        near = {place.key.namespace, place.where}
        if len(near) > 1:
            return iter(self._world.sidecars)
        return iter(_by(self._world.sidecars, (*near, callers.ROOT_NAMESPACE), index="namespace"))


def _by(cache: Cache, names: Iterable[str], *, index: str = "host") -> tuple[Manifest, ...]:
    return tuple(manifest for name in names for manifest in cache.by(index, name))


def _calls(place: Place, near: _Near, scene: Scene) -> callers.Calls:
    needed = dict.fromkeys(name for name in place.pair if name)
    return callers.Calls(
        host=place.host,
        where=place.where,
        rules=tuple(
            destinationrule.read(rule, namespace=rule["metadata"]["namespace"])
            for rule in near.rules
        ),
        doors=scene.doors,
        needed=tuple(needed),
    )


def _about_ports(scene: Scene, near: _Near) -> Iterator[Finding | Note]:
    """A gateway speaks what its own listener speaks, whatever the Service says."""
    if not scene.mesh_doors or any(door.edges for door in scene.doors):
        return iter(())
    found = [port for service in near.services for port in ports.of_service(service)]
    found += [port for entry in near.entries for port in ports.of_entry(entry)]
    return ports.look(found, protocols=scene.protocols)


def _about_sidecars(place: Place, scene: Scene, near: _Near) -> Iterator[Note]:
    """A second door of the same namespace is let in and kept out with the first."""
    found = [sidecars.read(manifest) for manifest in near.sidecars]
    around = frozenset({place.key.namespace, place.where})
    doors = {door.meta.namespace: door for door in scene.mesh_doors}
    for door in doors.values():
        yield from sidecars.look(found, host=place.host, where=place.where, near=around, door=door)


def _service_exports(near: _Near) -> frozenset[str]:
    """The namespaces that see the service; empty when nobody knows it."""
    found: set[str] = set()
    for service in near.services:
        namespace = service["metadata"]["namespace"]
        said = str((service["metadata"].get("annotations") or {}).get(EXPORT_TO, ""))
        names = [name.strip() for name in said.split(",") if name.strip()]
        found |= fronts.exports({"exportTo": names}, namespace=namespace)
    for entry in near.entries:
        found |= fronts.exports(entry.get("spec"), namespace=entry["metadata"]["namespace"])
    return frozenset({EVERYWHERE}) if EVERYWHERE in found else frozenset(found)


def _filters(near: _Near) -> list[tuple[str, frozenset[str]]]:
    return [(str(key_of(one)), frozenset(one["routes"])) for one in near.filters]
