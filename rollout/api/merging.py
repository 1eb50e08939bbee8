"""A Rollout's spec with what policies say: which of them rule it, and who said what.

Specs are merged as they are written, before anything is read from them: only so does "absent"
differ from "said, and as by default". For every field that came from a policy it is kept from
which, so that a mistake in it is told to the right people.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rollout.api.meta import CLUSTER_ROLLOUT_POLICY, ROLLOUT_POLICY, Key, Manifest
from rollout.base.errors import BadManifest

NAMED_LISTS = frozenset({"gates", "webhooks"})
"""Lists of a spec whose items have names: merged item by item, and each item is one party's."""

WHOLE = frozenset({"windows"})
"""Maps of a spec that are one thing: whoever says anything of it says all."""

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A policy as it is written.

    Attributes:
        kind: RolloutPolicy or ClusterRolloutPolicy.
        key: its name; the namespace is empty for the latter.
        spec: its spec.
    """

    kind: str
    key: Key
    spec: Manifest

    def __str__(self) -> str:
        return f"{self.kind} {self.key.name}"

    @property
    def is_for_all(self) -> bool:
        """Whether it rules those, too, that do not name it."""
        return self.spec.get("appliesTo") == "All"

    def part(self, name: str) -> Manifest:
        """Its ``defaults`` or ``enforce``; empty where there is none, or no map."""
        found = self.spec.get(name)
        return found if isinstance(found, dict) else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a field of a merged spec came from.

    Attributes:
        policy: whose it is.
        path: where it stands there, such as ``spec.enforce.gates[0]``.
    """

    policy: Policy
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """A spec with what policies say.

    Attributes:
        spec: the spec.
        origins: paths in it that came from policies.
    """

    spec: Manifest
    origins: Mapping[Path, Origin] = field(default_factory=dict)

    def blame(self, error: BadManifest) -> BadManifest:
        """The same mistake, told of the policy that it was made in, if it was made in one."""
        path = _parsed(error.field)
        for length in range(len(path), 0, -1):
            origin = self.origins.get(path[:length])
            if origin is not None:
                where = origin.path + _printed(path[length:])
                return BadManifest(
                    subject=str(origin.policy),
                    field=where,
                    problem=error.problem,
                    remedy=error.remedy,
                )
        parts = [o.policy for at, o in self.origins.items() if path and at[: len(path)] == path]
        if not parts:
            return error
        told = " and ".join(dict.fromkeys(str(policy) for policy in parts))
        return BadManifest(
            subject=error.subject,
            field=error.field,
            problem=f"{error.problem}, with what {told} says",
            remedy=error.remedy,
        )


def policy_of(manifest: Manifest) -> Policy:
    """A policy object as the merge knows it; what is no map says nothing."""
    metadata, spec = manifest["metadata"], manifest.get("spec")
    namespace = metadata.get("namespace", "")
    kind = ROLLOUT_POLICY.kind if namespace else CLUSTER_ROLLOUT_POLICY.kind
    return Policy(
        kind=kind,
        key=Key(namespace, metadata["name"]),
        spec=spec if isinstance(spec, dict) else {},
    )


def named_by(spec: Manifest) -> tuple[str, str] | None:
    """Kind and name of the policy that a spec refers to; None: to none that can be read."""
    ref = spec.get("policyRef")
    if not isinstance(ref, dict):
        return None
    kind, name = ref.get("kind"), ref.get("name")
    known = isinstance(kind, str) and isinstance(name, str)
    return (kind, name) if known else None  # type: ignore[return-value]


def ruling(spec: Manifest, policies: Sequence[Policy], *, namespace: str) -> tuple[Policy, ...]:
    """The policies that have a say in a Rollout, the nearest first.

    The one it names comes first, then those for its namespace, then those for the whole cluster,
    each by name. Of two defaults the nearer wins, and of two enforced things the farther.
    """
    named = named_by(spec)
    near = [p for p in policies if p.key.namespace in {"", namespace}]
    found = [p for p in near if (p.kind, p.key.name) == named]
    rest = [p for p in near if p.is_for_all and p not in found]
    rest.sort(key=lambda p: (not p.key.namespace, p.key.name))
    # A named policy of the cluster is still the cluster's: no namespace overrules what it enforces.
    return (*found, *rest)


def merged(spec: Manifest, policies: Sequence[Policy]) -> Merged:
    """A spec with what policies say, the nearest of them first.

    What the spec says wins over all ``defaults``, nothing wins over any ``enforce``. Merging what
    was merged changes nothing.
    """
    origins: dict[Path, Origin] = {}
    for policy in policies:
        writer = _Writer(policy=policy, part="defaults", origins=origins)
        spec = writer.filled(spec, policy.part("defaults"), at=())
    for policy in sorted(policies, key=lambda p: not p.key.namespace):
        writer = _Writer(policy=policy, part="enforce", origins=origins)
        spec = writer.forced(spec, policy.part("enforce"), at=())
    return Merged(spec=spec, origins=origins)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Writer:
    """Takes over fields of one part of a policy, and writes down that it did."""

    policy: Policy
    part: str
    origins: dict[Path, Origin]

    def filled(self, said: Manifest, ours: Manifest, *, at: Path) -> Manifest:
        """What is said, and ours where nothing is."""
        out = dict(said)
        for name, value in ours.items():
            here = (*at, name)
            if name not in said:
                out[name] = self._taken(value, here, _printed(here))
            elif _is_mergeable(here, said[name], value):
                out[name] = self.filled(said[name], value, at=here)
            elif _is_named_list(here, said[name], value):
                out[name] = self._added(said[name], value, at=here)
        return out

    def forced(self, said: Manifest, ours: Manifest, *, at: Path) -> Manifest:
        """Ours, and what is said where we say nothing."""
        out = dict(said)
        for name, value in ours.items():
            here = (*at, name)
            if name in said and _is_mergeable(here, said[name], value):
                out[name] = self.forced(said[name], value, at=here)
            elif name in said and _is_named_list(here, said[name], value):
                out[name] = self._replaced(said[name], value, at=here)
            else:
                out[name] = self._taken(value, here, _printed(here))
        return out

    def _added(self, said: Sequence[Any], ours: Sequence[Any], *, at: Path) -> list[Any]:
        """Items of ours that are not there by name, behind those that are."""
        out, known = list(said), {_name(item) for item in said}
        for i, item in enumerate(ours):
            if _name(item) not in known:
                out.append(self._taken(item, (*at, len(out)), _printed((*at, i))))
        return out

    def _replaced(self, said: Sequence[Any], ours: Sequence[Any], *, at: Path) -> list[Any]:
        """Items of ours in the place of those of the same name, whole: the rest behind."""
        out = list(said)
        for i, item in enumerate(ours):
            place = next((j for j, one in enumerate(out) if _name(one) == _name(item)), len(out))
            # Of several items of one name none may stay beside ours.
            out[place:] = [
                self._taken(item, (*at, place), _printed((*at, i))),
                *(one for one in out[place + 1 :] if _name(one) != _name(item)),
            ]
        return out

    def _taken(self, value: Any, here: Path, there: str) -> Any:  # noqa: ANN401 - JSON
        """A value of ours, and of nobody else any more."""
        for path in [path for path in self.origins if path[: len(here)] == here]:
            del self.origins[path]
        self.origins[here] = Origin(policy=self.policy, path=f"spec.{self.part}{there}")
        return value


def _is_mergeable(here: Path, said: object, ours: object) -> bool:
    both = isinstance(said, dict) and isinstance(ours, dict)
    return both and here[0] not in WHOLE


def _is_named_list(here: Path, said: object, ours: object) -> bool:
    both = isinstance(said, list) and isinstance(ours, list)
    return both and len(here) == 1 and here[0] in NAMED_LISTS


def _name(item: object) -> object:
    """An item's name; something that equals no name where it has none."""
    name = item.get("name") if isinstance(item, dict) else None
    return name if isinstance(name, str) else object()


def _printed(path: Path) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)


def _parsed(text: str) -> Path:
    """The path that a field names, from below ``spec``."""
    parts = re.findall(r"\[(\d+)\]|([^.\[\]]+)", text.removeprefix("spec"))
    return tuple(int(number) if number else word for number, word in parts)
