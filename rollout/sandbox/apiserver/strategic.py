"""Strategic merge patch, coarsely: what kubectl sends for built-in kinds.

Lists of objects merge by the key that Kubernetes' types name for them; which list this is, is told
by the field's name alone. Other lists are replaced whole.
"""

from __future__ import annotations

from rollout.sandbox.apiserver.trees import Json, Tree, mapping, sequence

# Merge keys by field name, from the patchMergeKey tags of the core types; the first key that the
# items carry is used.
_MERGE_KEYS: dict[str, tuple[str, ...]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "ephemeralContainers": ("name",),
    "env": ("name",),
    "volumes": ("name",),
    "volumeMounts": ("mountPath",),
    "ports": ("containerPort", "port"),
    "imagePullSecrets": ("name",),
    "conditions": ("type",),
    "ownerReferences": ("uid",),
    "hostAliases": ("ip",),
    "secrets": ("name",),
}
_SETS = frozenset({"finalizers"})
_DELETE_VALUES = "$deleteFromPrimitiveList/"
_ORDER = "$setElementOrder/"


def merged(target: Json, patch: Json) -> Json:
    """Apply a strategic merge patch, sharing what it does not touch."""
    return mapping(_merged(target, patch, ""))


def _merged(target: Tree, patch: Tree, field: str) -> Tree:
    if isinstance(patch, dict):
        return _merged_object(mapping(target), patch)
    if isinstance(patch, list):
        return _merged_list(sequence(target), patch, field)
    return patch


def _merged_object(target: Json, patch: Json) -> Json:
    directive = patch.get("$patch")
    if directive == "replace":
        return {key: value for key, value in patch.items() if key != "$patch"}
    if directive == "delete":
        return {}
    result = dict(target)
    retained = patch.get("$retainKeys")
    if isinstance(retained, list):
        result = {key: value for key, value in result.items() if key in retained}
    for key, value in patch.items():
        if key.startswith(_DELETE_VALUES):
            field = key.removeprefix(_DELETE_VALUES)
            result[field] = [one for one in sequence(result.get(field)) if one not in value]
        elif key.startswith("$"):
            continue
        elif value is None:
            result.pop(key, None)
        else:
            result[key] = _merged(result.get(key), value, key)
    _reorder(result, patch)
    return result


def _merged_list(target: list[Tree], patch: list[Tree], field: str) -> list[Tree]:
    if field in _SETS:
        return [*target, *(one for one in patch if one not in target)]
    key = _merge_key(target, patch, field)
    if key is None:
        return patch
    result = list(target)
    for item in patch:
        if item.get("$patch") == "replace":
            return [one for one in patch if "$patch" not in one]
        index = _position(result, key, item.get(key))
        if item.get("$patch") == "delete":
            if index is not None:
                del result[index]
        elif index is None:
            result.append(_merged_object({}, item))
        else:
            result[index] = _merged_object(mapping(result[index]), item)
    return result


def _merge_key(target: list[Tree], patch: list[Tree], field: str) -> str | None:
    if not all(isinstance(one, dict) for one in [*target, *patch]):
        return None
    for key in _MERGE_KEYS.get(field, ()):
        if all(key in one or one.get("$patch") == "replace" for one in patch):
            return key
    return None


def _position(items: list[Tree], key: str, value: Tree) -> int | None:
    return next((i for i, one in enumerate(items) if mapping(one).get(key) == value), None)


def _reorder(result: Json, patch: Json) -> None:
    """Follow the order that the patch gives for a list; items it does not name come last."""
    for directive, order in patch.items():
        field = directive.removeprefix(_ORDER)
        if field == directive or not isinstance(result.get(field), list):
            continue
        ranks = {_rank_key(field, one): rank for rank, one in enumerate(sequence(order))}
        last = len(ranks)
        result[field] = sorted(
            result[field],
            key=lambda one: ranks.get(_rank_key(field, one), last),
        )


def _rank_key(field: str, item: Tree) -> str:
    if not isinstance(item, dict):
        return str(item)
    key = next((one for one in _MERGE_KEYS.get(field, ()) if one in item), None)
    return str(item.get(key)) if key else str(item)
