"""Does to an API server what Argo CD and Flux do with the ignore rules that we ship.

Neither runs here; what each makes of its rules before it applies is little, and written out after
their documentation and sources (Argo CD 3.5, kustomize-controller 1.9). The rules are read from
``manifests/gitops``, the jq is the real one, and so are kubectl and the API server.
"""

from __future__ import annotations

import asyncio
import copy
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import orjson
import yaml

from tests.testbed.kubectl import Kubectl

SHIPPED = Path(__file__).parents[2] / "manifests" / "gitops"

WHY_NOT = "" if shutil.which("jq") else "jq is not on PATH"

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"

UNCOMPARED = ("managedFields", "resourceVersion", "generation", "creationTimestamp", "uid")
"""Metadata that both leave out when they compare."""

Manifest = dict[str, Any]


class Rules(Protocol):
    """What a tool makes of its ignore rules."""

    async def strip(self, item: Manifest) -> Manifest:
        """The object without what is ignored; two that are the same then do not differ."""
        ...

    async def adopt(self, target: Manifest, live: Manifest) -> Manifest:
        """What is applied in place of git's manifest: what is ignored is taken from live."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A GitOps tool: who it is to the API server, and its rules.

    Attributes:
        manager: its field manager.
        is_server_side: how it applies; both tools then always force.
    """

    kubectl: Kubectl
    manager: str
    rules: Rules
    is_server_side: bool = True

    async def live(self, item: Manifest) -> Manifest:
        """An object as it stands, with its managed fields."""
        return _read(await self.kubectl.run(*_get(item), "-o", "json", "--show-managed-fields"))

    async def is_out_of_sync(self, target: Manifest) -> bool:
        """Whether the object would be another one if git's manifest were applied."""
        words = ("--dry-run=server", "-o", "json", *self._server_side(forced=True))
        predicted = _read(await self.kubectl.run("apply", "-f", "-", *words, given=target))
        found = await self.live(target)
        return await self._compared(predicted) != await self._compared(found)

    async def patched(self, target: Manifest) -> Manifest:
        """What is applied in place of git's manifest."""
        return await self.rules.adopt(target, await self.live(target))

    async def sync(self, target: Manifest) -> None:
        """Apply git's manifest by the rules."""
        code, said = await self.apply(await self.patched(target))
        assert code == 0, said

    async def apply(self, item: Manifest, *, forced: bool = True) -> tuple[int, str]:
        """Apply a manifest as it is; the exit code of kubectl, and what it said."""
        words = self._server_side(forced=forced) if self.is_server_side else ()
        return await self.kubectl.run("apply", "-f", "-", *words, given=item)

    def _server_side(self, *, forced: bool) -> tuple[str, ...]:
        words = ("--server-side", f"--field-manager={self.manager}")
        return (*words, "--force-conflicts") if forced else words

    async def _compared(self, item: Manifest) -> Manifest:
        found = await self.rules.strip(copy.deepcopy(item))
        for name in UNCOMPARED:
            found["metadata"].pop(name, None)
        found["metadata"].get("annotations", {}).pop(LAST_APPLIED, None)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class ArgoRules:
    """Expressions by kind: what each finds is deleted, one after the other, before comparing.

    With ``RespectIgnoreDifferences=true`` what was deleted from the live object becomes a merge
    patch of the target; Istio's kinds have no merge keys, so a list in it is the whole list.
    """

    expressions: dict[str, list[str]]
    respected: bool = True

    async def strip(self, item: Manifest) -> Manifest:
        """As `Rules`."""
        program = [f"del({one})" for one in self.expressions.get(item["kind"], ())]
        return await _jq(" | ".join(program) or ".", item)

    async def adopt(self, target: Manifest, live: Manifest) -> Manifest:
        """As `Rules`."""
        if not self.respected:
            return target
        patch = _merge_patch(await self.strip(live), live)
        merged: Manifest = _merged(await self.strip(target), patch)
        return merged


@dataclass(frozen=True, slots=True, kw_only=True)
class FluxRules:
    """Pointers by kind: removed before comparing, and taken from the cluster when applying.

    The latter is what Flux does as long as no other manager has *applied* the field; ours are
    updates.
    """

    pointers: dict[str, list[str]]

    async def strip(self, item: Manifest) -> Manifest:
        """As `Rules`."""
        for pointer in self.pointers.get(item["kind"], ()):
            place, name = _place(item, pointer)
            if isinstance(place, dict):
                place.pop(name, None)
        return item

    async def adopt(self, target: Manifest, live: Manifest) -> Manifest:
        """As `Rules`."""
        adopted = copy.deepcopy(target)
        for pointer in self.pointers.get(target["kind"], ()):
            place, name = _place(adopted, pointer)
            source, _ = _place(live, pointer)
            if place is not None and source is not None and name in source:
                place[name] = source[name]
        return adopted


def argo_rules(*, respected: bool = True) -> ArgoRules:
    """Those that we ship."""
    found = _shipped("argocd.yaml")["spec"]["ignoreDifferences"]
    expressions = {one["kind"]: one["jqPathExpressions"] for one in found}
    return ArgoRules(expressions=expressions, respected=respected)


def flux_rules(name: str = "flux-kustomization.yaml") -> FluxRules:
    """Those that we ship."""
    spec = _shipped(name)["spec"]
    rules = spec["ignore"] if "ignore" in spec else spec["driftDetection"]["ignore"]
    return FluxRules(pointers={one["target"]["kind"]: one["paths"] for one in rules})


def owners(live: Manifest, field: str) -> set[tuple[str, str]]:
    """Manager and operation of everybody to whom a field of the spec belongs."""
    return {
        (one["manager"], one["operation"])
        for one in live["metadata"]["managedFields"]
        if f"f:{field}" in one["fieldsV1"].get("f:spec", {})
    }


def _shipped(name: str) -> Manifest:
    found: Manifest = yaml.safe_load((SHIPPED / name).read_text(encoding="utf-8"))
    return found


def _get(item: Manifest) -> tuple[str, ...]:
    metadata = item["metadata"]
    return ("get", item["kind"].lower(), metadata["name"], "-n", metadata["namespace"])


def _read(answer: tuple[int, str]) -> Manifest:
    code, said = answer
    assert code == 0, said
    found: Manifest = orjson.loads(said)
    return found


async def _jq(program: str, item: Manifest) -> Manifest:
    process = await asyncio.create_subprocess_exec(
        *("jq", "-c", program), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate(orjson.dumps(item))
    assert process.returncode == 0, program
    found: Manifest = orjson.loads(said)
    return found


def _merge_patch(old: Manifest, new: Manifest) -> Manifest:
    """The merge patch (RFC 7396) that makes the old object the new one."""
    patch: Manifest = {name: None for name in old if name not in new}
    for name, value in new.items():
        before = old.get(name)
        if isinstance(before, dict) and isinstance(value, dict):
            if inner := _merge_patch(before, value):
                patch[name] = inner
        elif before != value:
            patch[name] = value
    return patch


def _merged(item: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    found = dict(item) if isinstance(item, dict) else {}
    for name, value in patch.items():
        if value is None:
            found.pop(name, None)
        else:
            found[name] = _merged(found.get(name), value)
    return found


def _place(item: Manifest, pointer: str) -> tuple[Any, str]:
    """Where a pointer (RFC 6901) without escapes leads to: the holder, or None, and the name."""
    *way, name = pointer.removeprefix("/").split("/")
    place: Any = item
    for step in way:
        if isinstance(place, list):
            place = place[int(step)] if int(step) < len(place) else None
        elif place is not None:
            place = place.get(step)
    return place, name
