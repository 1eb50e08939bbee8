"""A small CRD and objects of it, for the tests of the embedded API server."""

from __future__ import annotations

import copy
from typing import Any

Json = dict[str, Any]

GROUP = "shop.example"
BASE = f"/apis/{GROUP}/v1/namespaces/default/parcels"

_STEP: Json = {
    "type": "object",
    "required": ["weight"],
    "properties": {
        "weight": {"type": "integer", "minimum": 0, "maximum": 100},
        "hold": {"type": "string", "maxLength": 8},
        "port": {"x-kubernetes-int-or-string": True},
    },
}
_SPEC: Json = {
    "type": "object",
    "description": "What is wanted.",
    "required": ["host"],
    "properties": {
        "host": {"type": "string", "minLength": 1, "description": "Where it goes."},
        "mode": {"type": "string", "enum": ["Fast", "Slow"], "default": "Slow"},
        "code": {"type": "string", "pattern": "^[a-z]+$"},
        "count": {"type": "integer"},
        "replicas": {"type": "integer", "minimum": 0},
        "maybe": {"type": "string", "nullable": True},
        "steps": {"type": "array", "items": _STEP, "maxItems": 3},
        "tags": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "until": {"type": "string", "format": "date-time"},
        "limits": {
            "type": "object",
            "default": {},
            "properties": {"seconds": {"type": "integer", "default": 30}},
        },
    },
}
_CONDITION: Json = {
    "type": "object",
    "required": ["type", "status"],
    "properties": {
        "type": {"type": "string"},
        "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
        "reason": {"type": "string"},
    },
}
_STATUS: Json = {
    "type": "object",
    "properties": {
        "phase": {"type": "string"},
        "replicas": {"type": "integer"},
        "note": {"type": "string"},
        "conditions": {
            "type": "array",
            "items": _CONDITION,
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["type"],
        },
    },
}
SCHEMA: Json = {
    "type": "object",
    "description": "A parcel under way.",
    "required": ["spec"],
    "properties": {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"type": "object"},
        "spec": _SPEC,
        "status": _STATUS,
    },
}
_READY = ".status.conditions[?(@.type=='Ready')].status"


def crd() -> Json:
    """Return the CRD of parcels.shop.example."""
    return copy.deepcopy(
        {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"parcels.{GROUP}"},
            "spec": {
                "group": GROUP,
                "scope": "Namespaced",
                "names": {
                    "plural": "parcels",
                    "singular": "parcel",
                    "kind": "Parcel",
                    "listKind": "ParcelList",
                    "shortNames": ["pa"],
                },
                "versions": [
                    {
                        "name": "v1",
                        "served": True,
                        "storage": True,
                        "schema": {"openAPIV3Schema": SCHEMA},
                        "subresources": {
                            "status": {},
                            "scale": {
                                "specReplicasPath": ".spec.replicas",
                                "statusReplicasPath": ".status.replicas",
                            },
                        },
                        "selectableFields": [{"jsonPath": ".status.phase"}],
                        "additionalPrinterColumns": [
                            {"name": "Host", "type": "string", "jsonPath": ".spec.host"},
                            {"name": "Ready", "type": "string", "jsonPath": _READY},
                            {
                                "name": "Note",
                                "type": "string",
                                "jsonPath": ".status.note",
                                "priority": 1,
                            },
                            {
                                "name": "Age",
                                "type": "date",
                                "jsonPath": ".metadata.creationTimestamp",
                            },
                        ],
                    }
                ],
            },
        }
    )


def parcel(name: str, /, *, metadata: Json | None = None, **spec: Any) -> Json:
    """Return a parcel; `spec` is added to a host."""
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": "Parcel",
        "metadata": {"name": name, **(metadata or {})},
        "spec": {"host": "reviews", **spec},
    }
