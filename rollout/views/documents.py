"""Objects for programs: YAML and JSON, as kubectl prints them."""

from __future__ import annotations

import json
from collections.abc import Sequence

import yaml

from rollout.api.meta import Kind, Manifest


def presented(manifest: Manifest, kind: Kind) -> Manifest:
    """An object with kind and version first and without ``managedFields``, which tell nobody."""
    metadata = {k: v for k, v in manifest.get("metadata", {}).items() if k != "managedFields"}
    rest = {k: v for k, v in manifest.items() if k not in {"apiVersion", "kind", "metadata"}}
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, **rest}


def listing(manifests: Sequence[Manifest], kind: Kind) -> Manifest:
    """Objects as one List."""
    items = [presented(manifest, kind) for manifest in manifests]
    return {"apiVersion": "v1", "kind": "List", "metadata": {}, "items": items}


def as_json(document: object) -> str:
    """A document as JSON, indented, with a newline at its end."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def as_yaml(*documents: object) -> str:
    """Documents as YAML, in the order of their fields."""
    return yaml.safe_dump_all(documents, sort_keys=False, allow_unicode=True, width=100)


def as_json_line(document: object) -> str:
    """A document as JSON in one line."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False) + "\n"
