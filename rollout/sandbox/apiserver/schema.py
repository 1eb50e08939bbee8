"""Structural schemas: pruning unknown fields, dropping nulls, filling defaults.

The order is kube-apiserver's: unknown fields are noticed and pruned, a null that the schema does
not allow is dropped, then defaults are filled in where their parent object exists, then (in
``judge``) the result is validated. A float without a fraction becomes an integer where an integer
is wanted.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from rollout.sandbox.apiserver.trees import Json, Tree, mapping

DEPTH_LIMIT_COUNT = 64  # a schema nested deeper is refused, so that no recursion of ours overflows

_ENVELOPE = frozenset({"apiVersion", "kind", "metadata"})


@dataclass(slots=True)
class Node:
    """One place of a structural schema, compiled for shaping.

    Attributes:
        type: its ``type``, empty when there is none.
        nullable: null is a value here.
        preserve: unknown fields stay.
        properties: known fields.
        additional: the schema of a map's values.
        items: the schema of a list's items.
        defaults: what absent fields become.
        any_value: everything below is let be (a boolean ``additionalProperties``, or preserve
            without properties).
    """

    type: str
    nullable: bool
    preserve: bool
    properties: dict[str, Node] = field(default_factory=dict)
    additional: Node | None = None
    items: Node | None = None
    defaults: dict[str, Tree] = field(default_factory=dict)
    any_value: bool = False


def compiled(schema: Json, depth_count: int = 0) -> Node:
    """Compile one level of a structural schema and all below it.

    Raises:
        ValueError: the schema is nested too deep.
    """
    if depth_count > DEPTH_LIMIT_COUNT:
        problem = f"the schema is nested deeper than {DEPTH_LIMIT_COUNT} levels"
        raise ValueError(problem)
    preserve = schema.get("x-kubernetes-preserve-unknown-fields") is True
    embedded = schema.get("x-kubernetes-embedded-resource") is True
    node = Node(
        type=schema.get("type", ""), nullable=schema.get("nullable") is True, preserve=preserve
    )
    for name, below in mapping(schema.get("properties")).items():
        node.properties[name] = compiled(below, depth_count + 1)
        if "default" in below:
            node.defaults[name] = below["default"]
    if embedded:
        for name in _ENVELOPE:
            node.properties[name] = _anything()
    _compile_contents(node, schema, depth_count)
    node.any_value = _lets_everything_be(node, schema)
    return node


def _compile_contents(node: Node, schema: Json, depth_count: int) -> None:
    additional = schema.get("additionalProperties")
    if isinstance(additional, dict):
        node.additional = compiled(additional, depth_count + 1)
    elif additional is True:
        node.additional = _anything()
    if isinstance(schema.get("items"), dict):
        node.items = compiled(schema["items"], depth_count + 1)


def _anything() -> Node:
    return Node(type="", nullable=True, preserve=True, any_value=True)


def _lets_everything_be(node: Node, schema: Json) -> bool:
    bare = not node.properties and node.additional is None and node.items is None
    return bare and (node.preserve or schema.get("x-kubernetes-int-or-string") is True)


class Shaper:
    """Prunes and defaults objects of one kind.

    Attributes:
        root: the compiled schema of the whole object, without its envelope.
    """

    __slots__ = ("root",)

    def __init__(self, schema: Json) -> None:
        self.root = compiled(schema)
        for name in _ENVELOPE:  # metadata has rules of its own
            self.root.properties.pop(name, None)
            self.root.defaults.pop(name, None)
        for default_owner in _walk(self.root):
            for name, value in default_owner.defaults.items():
                default_owner.defaults[name] = _shape(
                    default_owner.properties[name], value, None, path=name, unknown=[]
                )

    def shape(self, body: Json, before: Json | None, unknown: list[str]) -> Json:
        """Return `body` pruned and defaulted; what needs no change is shared, not copied.

        Args:
            body: the object, with or without its envelope, which is let be.
            before: the stored object; whatever in `body` *is* a part of it was shaped when it was
                stored, and is not looked at again.
            unknown: receives the paths of the fields that were pruned.
        """
        if self.root.any_value:
            return body
        old = before or {}
        shaped: Json = {}
        for key, value in body.items():
            if key in _ENVELOPE:
                shaped[key] = value
                continue
            kept = _field(self.root, key, value, old, path=key, unknown=unknown)
            if kept is not _DROPPED:
                shaped[key] = kept
        for key, value in self.root.defaults.items():
            shaped.setdefault(key, value)
        return shaped


def _walk(node: Node) -> list[Node]:
    below = [*node.properties.values(), node.additional, node.items]
    return [node, *(deep for child in below if child is not None for deep in _walk(child))]


_DROPPED = object()


def _field(  # noqa: PLR0917  the recursion carries its whole position
    node: Node, key: str, value: Tree, old: Json, path: str, unknown: list[str]
) -> Tree:
    child = node.properties.get(key) or node.additional
    if child is None:
        if node.preserve:
            return value
        unknown.append(path)
        return _DROPPED
    if value is None:
        return None if child.nullable else _DROPPED
    return _shape(child, value, old.get(key), path=path, unknown=unknown)


def _shape(node: Node, value: Tree, old: Tree, *, path: str, unknown: list[str]) -> Tree:
    if value is old or node.any_value:
        return value
    if isinstance(value, dict):
        if node.type not in {"object", ""}:
            return value  # a wrong type is for the judge to refuse
        return _shape_object(node, value, old, path=path, unknown=unknown)
    if isinstance(value, list):
        return _shape_list(node, value, old, path=path, unknown=unknown)
    if isinstance(value, float) and node.type == "integer" and value.is_integer():
        return int(value)
    return value


def _shape_object(node: Node, value: Json, old: Tree, *, path: str, unknown: list[str]) -> Json:
    before = mapping(old)
    shaped: Json = {}
    changed = False
    for key, child in value.items():
        kept = _field(node, key, child, before, f"{path}.{key}", unknown)
        if kept is not child:
            changed = True
        if kept is not _DROPPED:
            shaped[key] = kept
    for key, default in node.defaults.items():
        if key not in shaped:
            shaped[key] = default
            changed = True
    return shaped if changed else value


def _shape_list(
    node: Node, value: list[Tree], old: Tree, *, path: str, unknown: list[str]
) -> list[Tree]:
    if node.items is None:
        return value
    before = old if isinstance(old, list) else []
    shaped = [
        _shape(
            node.items,
            item,
            before[index] if index < len(before) else None,
            path=f"{path}[{index}]",
            unknown=unknown,
        )
        for index, item in enumerate(value)
    ]
    changed = any(new is not item for new, item in zip(shaped, value, strict=True))
    return shaped if changed else value
