"""CRDs from the models: structural schemas with the docstrings as descriptions.

What pydantic writes and a structural schema refuses or silently drops is rewritten: ``$ref`` is put
in place, ``anyOf`` with ``null`` becomes the plain type (absence says it), ``const`` becomes
``enum``, ``title`` and ``additionalProperties: false`` go.

Defaults stay with the models and are told in the descriptions. A server that filled them in would
write every status back larger than it came, and would leave a policy nothing to fill.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from rollout.api.action import ActionSpec, ActionStatus
from rollout.api.meta import (
    CLUSTER_ROLLOUT_POLICY,
    ROLLOUT,
    ROLLOUT_ACTION,
    ROLLOUT_POLICY,
    Kind,
    Manifest,
)
from rollout.api.policy import PolicySpec
from rollout.api.rollout import RolloutSpec
from rollout.api.status import RolloutStatus

_DROPPED = ("title", "additionalProperties", "$defs", "discriminator", "examples", "default")

_REFUSED = ("exclusiveMinimum", "exclusiveMaximum", "oneOf", "allOf", "prefixItems", "uniqueItems")
"""What models must not ask for: the API server would refuse it or silently drop it."""

STRING_LENGTH_MAX = 4096
"""Bound for strings that have none of their own: CEL needs one to know what a rule costs."""

ITEMS_MAX = 64
"""Bound for lists that have none of their own, for the same reason."""


def crds() -> tuple[Manifest, ...]:
    """All our CustomResourceDefinitions, ready to be applied."""
    return (
        _rollout(),
        _action(),
        _policy(ROLLOUT_POLICY, short="rop", whose="the Rollouts of a namespace"),
        _policy(CLUSTER_ROLLOUT_POLICY, short="crop", whose="all Rollouts of a cluster"),
    )


def _rollout() -> Manifest:
    spec, status = schema(RolloutSpec), schema(RolloutStatus)
    _rule_spec(spec["properties"])
    _list_map(status["properties"]["conditions"], key="type")
    columns = [
        _column("Phase", ".status.phase"),
        _column("Revision", ".spec.revision"),
        _column("Weight", ".status.run.weight", kind="number"),
        _column("Message", ".status.message"),
        _column("Stable", ".status.stableRevision", wide=True),
        _column("Step", ".status.run.step", kind="integer", wide=True),
        _column("Of", ".status.run.stepCount", kind="integer", wide=True),
        _column("Observed", ".status.run.observedWeight", kind="number", wide=True),
        _column("Run", ".status.run.id", wide=True),
        _column("Policy", ".spec.policyRef.name", wide=True),
        _column("Ready", ".status.conditions[?(@.type=='Ready')].status", wide=True),
        _column("Age", ".metadata.creationTimestamp", kind="date"),
    ]
    described = "A gray release of a service: which revision should be live, and how to get there."
    return _crd(ROLLOUT, spec, status, columns=columns, short=["ro"], description=described)


def _rule_spec(fields: dict[str, Any]) -> None:
    """What types do not say of a spec, or of the part of one that a policy has."""
    _rule_steps(fields["strategy"]["properties"]["steps"])
    _rule_gates(fields["gates"])
    _list_map(fields["gates"], key="name")
    _rule_windows(fields["windows"])


def _rule_windows(windows: dict[str, Any]) -> None:
    windows["properties"]["freeze"]["items"]["x-kubernetes-validations"] = [
        _rule("!has(self.from) || self.from < self.until", "a freeze ends after it begins")
    ]


def _rule_steps(steps: dict[str, Any]) -> None:
    steps["items"]["x-kubernetes-validations"] = [
        _rule(
            "[has(self.weight), has(self.match), has(self.mirror), has(self.ramp), has(self.pause),"
            " has(self.approval), has(self.check)].filter(x, x).size() == 1",
            "a step is exactly one of weight, match, mirror, ramp, pause, approval or check",
        ),
        _rule(
            "!has(self.hold) || has(self.weight) || has(self.match) || has(self.mirror)",
            "hold goes with weight, match or mirror",
        ),
    ]
    match = steps["items"]["properties"]["match"]["properties"]
    for part in ("headers", "cookies"):
        match[part]["additionalProperties"]["x-kubernetes-validations"] = [
            _rule(
                "[has(self.exact), has(self.prefix), has(self.regex)].filter(x, x).size() == 1",
                "a text is matched by exactly one of exact, prefix or regex",
            )
        ]
    steps["x-kubernetes-validations"] = [
        _rule(
            "self.filter(s, has(s.weight)).map(s, s.weight).isSorted()",
            "weights must rise along the ladder",
        )
    ]


def _rule_gates(gates: dict[str, Any]) -> None:
    gates["items"]["x-kubernetes-validations"] = [
        _rule(
            "[has(self.errorRate), has(self.latency), has(self.tcpFailures), has(self.query)]"
            ".filter(x, x).size() == 1",
            "a gate is exactly one of errorRate, latency, tcpFailures or query",
        ),
        _rule(
            "!has(self.query) || has(self.query.min) || has(self.query.max)",
            "a query needs a bound: give min, max or both",
        ),
        _rule(
            "!has(self.errorRate) || has(self.errorRate.maxPercent)"
            " || has(self.errorRate.maxRatio)",
            "an errorRate needs a bound: give maxPercent, maxRatio or both",
        ),
        _rule(
            "!has(self.latency) || has(self.latency.max) || has(self.latency.maxRatio)",
            "a latency needs a bound: give max, maxRatio or both",
        ),
    ]


def _action() -> Manifest:
    spec = schema(ActionSpec)
    spec["x-kubernetes-validations"] = [
        _rule("self == oldSelf", "a command cannot be changed once it is given")
    ]
    columns = [
        _column("Rollout", ".spec.rollout"),
        _column("Run", ".spec.run"),
        _column("Verb", ".spec.verb"),
        _column("Actor", ".spec.actor"),
        _column("Outcome", ".status.outcome"),
        _column("Message", ".status.message", wide=True),
        _column("Age", ".metadata.creationTimestamp", kind="date"),
    ]
    return _crd(
        ROLLOUT_ACTION,
        spec,
        schema(ActionStatus),
        columns=columns,
        short=["roa"],
        description="A command to a run, and its answer.",
    )


def _policy(kind: Kind, *, short: str, whose: str) -> Manifest:
    spec = schema(PolicySpec)
    for part in ("defaults", "enforce"):
        _rule_spec(spec["properties"][part]["properties"])
    _rule_windows(spec["properties"]["windows"])
    columns = [
        _column("For", ".spec.appliesTo"),
        _column("Stopped", ".spec.stop.reason"),
        _column("Frozen", ".spec.windows.freeze[*].reason"),
        _column("At once", ".spec.limits.runsAtOnce", kind="integer"),
        _column("What", ".spec.description"),
        _column("Age", ".metadata.creationTimestamp", kind="date"),
    ]
    described = f"What {whose} share, what none of them may change, and when they may not move."
    return _crd(kind, spec, None, columns=columns, short=[short], description=described)


def schema(model: type[BaseModel]) -> dict[str, Any]:
    """The structural OpenAPI v3 schema of a model, with descriptions."""
    generated = model.model_json_schema(by_alias=True, mode="validation")
    found = _structural(generated, generated.get("$defs", {}))
    found["description"] = _first_words(model)
    return found


def _structural(node: Mapping[str, Any], defs: Mapping[str, Any]) -> dict[str, Any]:
    node = _resolved(node, defs)
    out = {k: v for k, v in node.items() if k not in _DROPPED}
    if "const" in out:
        out["enum"] = [out.pop("const")]
    refused = [word for word in _REFUSED if word in out]
    assert not refused, f"a structural schema cannot say {refused}: bound numbers by ge and le"
    if "description" in out:
        out["description"] = _in_line(out["description"]) + _told_default(node)
    if "properties" in node:
        out["properties"] = {k: _structural(v, defs) for k, v in node["properties"].items()}
    if "items" in node:
        out["items"] = _structural(node["items"], defs)
    if isinstance(node.get("additionalProperties"), Mapping):
        out["additionalProperties"] = _structural(node["additionalProperties"], defs)
    return _bounded(out)


def _told_default(node: Mapping[str, Any]) -> str:
    """The default in words; empty, zero and false ones go without saying."""
    default = node.get("default")
    if not default or isinstance(default, (dict, list)):
        return ""
    return f" Default: {str(default).lower() if default is True else default}."


def _resolved(node: Mapping[str, Any], defs: Mapping[str, Any]) -> Mapping[str, Any]:
    """A node with its reference put in place and its "or null" taken away."""
    if "anyOf" in node:
        real = [option for option in node["anyOf"] if option.get("type") != "null"]
        assert len(real) == 1, "a structural schema knows no alternatives"
        node = {**real[0], **{k: v for k, v in node.items() if k != "anyOf"}}
    if "$ref" in node:
        target = defs[node["$ref"].rsplit("/", 1)[1]]
        rest = {k: v for k, v in node.items() if k != "$ref"}
        node = _resolved({**target, **rest}, defs)
    return node


def _bounded(node: dict[str, Any]) -> dict[str, Any]:
    if node.get("type") == "string" and not {"maxLength", "enum", "format"} & node.keys():
        node["maxLength"] = STRING_LENGTH_MAX
    if node.get("type") == "array" and "maxItems" not in node:
        node["maxItems"] = ITEMS_MAX
    return node


def _first_words(model: type[BaseModel]) -> str:
    return _in_line(inspect.getdoc(model) or "")


def _in_line(docstring: str) -> str:
    """Docstrings mark names by two backticks; on a terminal one is enough."""
    return " ".join(docstring.split()).replace("``", "`")


def _rule(rule: str, message: str) -> dict[str, str]:
    return {"rule": rule, "message": message}


def _list_map(node: dict[str, Any], *, key: str) -> None:
    node["x-kubernetes-list-type"] = "map"
    node["x-kubernetes-list-map-keys"] = [key]


def _column(name: str, path: str, *, kind: str = "string", wide: bool = False) -> dict[str, Any]:
    column: dict[str, Any] = {"name": name, "type": kind, "jsonPath": path}
    return {**column, "priority": 1} if wide else column


def _crd(
    kind: Kind,
    spec: dict[str, Any],
    status: dict[str, Any] | None,
    *,
    columns: list[dict[str, Any]],
    short: list[str],
    description: str,
) -> Manifest:
    root = {
        "type": "object",
        "description": description,
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": spec,
            **({} if status is None else {"status": status}),
        },
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{kind.group}"},
        "spec": {
            "group": kind.group,
            "scope": "Namespaced" if kind.namespaced else "Cluster",
            "names": {
                "plural": kind.plural,
                "singular": kind.kind.lower(),
                "kind": kind.kind,
                "listKind": f"{kind.kind}List",
                "shortNames": short,
                "categories": ["mesh"],
            },
            "versions": [
                {
                    "name": kind.version,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": root},
                    **({} if status is None else {"subresources": {"status": {}}}),
                    "additionalPrinterColumns": columns,
                }
            ],
        },
    }
