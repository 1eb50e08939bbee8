"""Patches: merge patch, JSON patch and a coarse server-side apply.

Apply here is coarse on purpose: a manager owns what it applied last (nothing else), lists marked
``x-kubernetes-list-type: map`` merge by their keys and all other lists are replaced whole. Plain
updates own nothing, so they neither cause conflicts nor show up in ``managedFields``.
"""

from __future__ import annotations

from collections.abc import Iterator

import jsonpatch
import jsonpointer

from rollout.sandbox.apiserver import refusals
from rollout.sandbox.apiserver.trees import Json, Tree, mapping, same, sequence

OPERATION_LIMIT_COUNT = 10_000  # kube-apiserver's own limit of operations in one JSON patch


def merged(target: Tree, patch: Tree) -> Tree:
    """Apply a JSON merge patch (RFC 7386), sharing what it does not touch."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


def json_patched(target: Json, operations: Tree) -> Json:
    """Apply a JSON patch (RFC 6902).

    A ``test`` for null at an absent path passes, as in kube-apiserver's library.

    Raises:
        Refusal: 400 it is no JSON patch; 422 it does not apply, without saying which operation.
    """
    if not isinstance(operations, list):
        message = "json: cannot unmarshal object into Go value of type jsonpatch.Patch"
        raise refusals.bad_request(message)
    if len(operations) > OPERATION_LIMIT_COUNT:
        raise refusals.too_large()
    result = dict(target)
    try:
        for operation in operations:
            if not _tests_absence(result, operation):
                _own_path(result, operation)
                result = jsonpatch.JsonPatch([operation]).apply(result, in_place=True)
    except (
        jsonpatch.JsonPatchException,
        jsonpointer.JsonPointerException,
        TypeError,
        AttributeError,
    ):
        raise refusals.unprocessable_patch() from None
    if not isinstance(result, dict):
        raise refusals.unprocessable_patch()
    return result


def _tests_absence(target: Json, operation: Json) -> bool:
    if operation.get("op") != "test" or operation.get("value") is not None:
        return False
    return jsonpointer.resolve_pointer(target, operation["path"], None) is None


def _own_path(target: Json, operation: Json) -> None:
    """Copy the containers on an operation's paths, so that editing in place harms no one else."""
    for key in ("path", "from"):
        pointer = operation.get(key)
        if not isinstance(pointer, str) or operation.get("op") == "test":
            continue
        here: Tree = target
        for part in pointer.split("/")[1:-1]:
            step: Tree = part.replace("~1", "/").replace("~0", "~")
            if isinstance(here, list):
                if not step.isdigit() or int(step) >= len(here):
                    break
                step = int(step)
            elif not isinstance(here, dict) or step not in here:
                break
            child = here[step]
            if not isinstance(child, (dict, list)):
                break
            here[step] = child.copy()
            here = here[step]


def applied(live: Json, patch: Json, before: Json, schema: Json) -> Json:
    """Return `live` after a manager, who applied `before` the last time, applies `patch`.

    Fields it applied before and leaves out now are removed; the rest of `live` stays.
    """
    return mapping(_applied(live, patch, before, schema))


def _applied(live: Tree, patch: Tree, before: Tree, schema: Json) -> Tree:
    if isinstance(patch, list):
        keys = _map_keys(schema)
        return _applied_list(live, patch, before, keys=keys, schema=schema) if keys else patch
    if not isinstance(patch, dict):
        return patch
    result = dict(live) if isinstance(live, dict) else {}
    for key in mapping(before):
        if key not in patch:
            result.pop(key, None)
    for key, value in patch.items():
        below = _below(schema, key)
        result[key] = _applied(result.get(key), value, mapping(before).get(key), below)
    return result


def _below(schema: Json, key: str) -> Json:
    found = mapping(schema.get("properties")).get(key)
    return mapping(found if found is not None else schema.get("additionalProperties"))


def _map_keys(schema: Json) -> list[str]:
    if schema.get("x-kubernetes-list-type") != "map":
        return []
    return sequence(schema.get("x-kubernetes-list-map-keys"))


def _identity(item: Tree, keys: list[str]) -> tuple[str, ...]:
    return tuple(str(mapping(item).get(key)) for key in keys)


def _applied_list(
    live: Tree, patch: list[Tree], before: Tree, *, keys: list[str], schema: Json
) -> list[Tree]:
    items = mapping(schema.get("items"))
    applied_now = {_identity(item, keys): item for item in patch}
    applied_before = {_identity(item, keys): item for item in sequence(before)}
    result: list[Tree] = []
    seen: set[tuple[str, ...]] = set()
    for item in sequence(live):
        identity = _identity(item, keys)
        seen.add(identity)
        if identity in applied_now:
            old = applied_before.get(identity)
            result.append(_applied(item, applied_now[identity], old, items))
        elif identity not in applied_before:
            result.append(item)
    result.extend(item for item in patch if _identity(item, keys) not in seen)
    return result


def leaves(tree: Tree, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Tree]]:
    """Yield the leaves of a tree with their paths; a list counts as one leaf."""
    if isinstance(tree, dict) and tree:
        for key, value in tree.items():
            yield from leaves(value, (*path, key))
    else:
        yield path, tree


def conflicts(
    live: Json, patch: Json, others: dict[str, list[Json]]
) -> list[tuple[str, tuple[str, ...]]]:
    """Return the fields an apply would take from other managers, as (manager, path).

    Args:
        live: the stored object.
        patch: what is applied.
        others: what the other managers applied last.
    """
    found: list[tuple[str, tuple[str, ...]]] = []
    for path, value in leaves(patch):
        if path[:1] in {("apiVersion",), ("kind",)} or path[:2] in {
            ("metadata", "name"),
            ("metadata", "namespace"),
        }:
            continue
        if _has(live, path) and same(_at(live, path), value):
            continue
        found.extend(
            (manager, path)
            for manager, configurations in sorted(others.items())
            if any(_has(configuration, path) for configuration in configurations)
        )
    return found


def _has(tree: Tree, path: tuple[str, ...]) -> bool:
    for key in path:
        if not isinstance(tree, dict) or key not in tree:
            return False
        tree = tree[key]
    return True


def _at(tree: Tree, path: tuple[str, ...]) -> Tree:
    for key in path:
        tree = tree[key]
    return tree
