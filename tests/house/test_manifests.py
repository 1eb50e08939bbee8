"""What is shipped: generated files are up to date, examples are right, rights are the least."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from rollout.api import meta, reading
from rollout.api.meta import Manifest
from rollout.api.phase import Phase
from rollout.engine.transitions import TRANSITIONS
from tests import artefacts
from tests.house.survey import ROOT

EXAMPLES = sorted((ROOT / "manifests/examples").glob("*.yaml"))
READ_ONLY = {"get", "list", "watch"}
FOLLOWED = {"list", "watch"}
READERS = {"Rollout": reading.read_spec, "RolloutAction": reading.read_action}

CONTROLLER_RIGHTS: Mapping[str, set[str]] = {
    "rollouts": READ_ONLY | {"patch"},
    "rollouts/status": {"patch"},
    "rolloutactions": READ_ONLY | {"create", "delete"},
    "rolloutactions/status": {"patch"},
    "rolloutpolicies": FOLLOWED,
    "clusterrolloutpolicies": FOLLOWED,
    "virtualservices": READ_ONLY | {"patch"},
    "destinationrules": READ_ONLY | {"patch"},
    "envoyfilters": FOLLOWED,
    "serviceentries": FOLLOWED,
    "sidecars": FOLLOWED,
    "services": FOLLOWED,
    "workloadentries": FOLLOWED,
    "endpointslices": FOLLOWED,
    "pods": FOLLOWED,
    "events": {"create"},
    "localsubjectaccessreviews": {"create"},
    "validatingadmissionpolicies": {"get"},
    "validatingadmissionpolicybindings": {"get"},
    "leases": {"get", "create", "update"},
}


def documents(path: Path) -> list[Manifest]:
    return [one for one in yaml.safe_load_all(path.read_text(encoding="utf-8")) if one]


def shipped() -> list[Manifest]:
    """What gives rights."""
    return [
        one for name in ("rbac", "identity") for one in documents(ROOT / f"manifests/{name}.yaml")
    ]


def named(path: str, kind: str, name: str) -> Manifest:
    return next(
        one
        for one in documents(ROOT / path)
        if (one["kind"], one["metadata"]["name"]) == (kind, name)
    )


def rights(*roles: Manifest) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for rule in (rule for role in roles for rule in role["rules"]):
        for resource in rule["resources"]:
            found.setdefault(resource, set()).update(rule["verbs"])
    return found


def groups_of(*roles: Manifest) -> Iterator[tuple[str, str]]:
    for rule in (rule for role in roles for rule in role["rules"]):
        yield from ((group, one) for group in rule["apiGroups"] for one in rule["resources"])


def controller_roles() -> tuple[Manifest, ...]:
    kinds = ("ClusterRole", "Role")
    cluster, own = (named("manifests/rbac.yaml", kind, "rollout-controller") for kind in kinds)
    looking = named("manifests/identity.yaml", "ClusterRole", "rollout-controller-identity")
    return cluster, own, looking


def test_generated_files_are_up_to_date() -> None:
    assert artefacts.stale(ROOT) == []


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A project of which all generated files were just written."""
    text = f"# rollout\n\n{artefacts.DIAGRAM_BEGIN}\n{artefacts.DIAGRAM_END}\n\nThe end.\n"
    (tmp_path / "README.md").write_text(text)
    artefacts.write(tmp_path)
    return tmp_path


def test_what_was_just_written_is_up_to_date(copy: Path) -> None:
    assert artefacts.stale(copy) == []
    assert artefacts.write(copy) == []


@pytest.mark.parametrize("deed", ["changed", "removed", "added", "diagram"])
def test_a_stale_file_would_be_caught_and_mended(copy: Path, deed: str) -> None:
    file = copy / "manifests/crds/rollouts.rollout.dev.yaml"
    if deed == "changed":
        file.write_text(file.read_text().replace("maxItems: 50", "maxItems: 51"))
    elif deed == "removed":
        file.unlink()
    elif deed == "added":
        (file.parent / "old.yaml").write_text("kind: Old\n")
    else:
        readme = copy / "README.md"
        readme.write_text(readme.read_text().replace("--> Pending", "--> Baking"))

    found = artefacts.stale(copy)

    assert len(found) == 1
    assert artefacts.write(copy) == found
    assert artefacts.stale(copy) == []


def test_the_diagram_keeps_what_stands_around_it(copy: Path) -> None:
    text = (copy / "README.md").read_text()

    assert text.startswith("# rollout\n\n" + artefacts.DIAGRAM_BEGIN)
    assert text.endswith(artefacts.DIAGRAM_END + "\n\nThe end.\n")
    assert "```mermaid\nstateDiagram-v2" in text


def test_the_diagram_draws_each_transition_of_the_way_once() -> None:
    drawn = [line.strip() for line in artefacts.diagram().splitlines() if " --> " in line]
    ways = [
        f"{source} --> {target}: "
        for source, targets in TRANSITIONS.items()
        for target in targets
        if not {source, target} & artefacts.UNDRAWN
    ]

    assert drawn[0] == f"[*] --> {Phase.PENDING}"
    assert len(drawn) == len(ways) + 1
    assert all(line.startswith(way) for line, way in zip(drawn[1:], ways, strict=True))
    assert all(line.count(":") <= 1 for line in drawn)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_can_be_read(path: Path) -> None:
    for manifest in documents(path):
        kind = manifest["kind"]

        assert manifest["apiVersion"] == meta.ROLLOUT.api_version
        assert READERS[kind](manifest) is not None


def test_the_controller_has_the_rights_it_needs_and_no_others() -> None:
    assert rights(*controller_roles()) == CONTROLLER_RIGHTS


def test_rights_name_the_groups_that_the_kinds_are_in() -> None:
    kinds = {
        (kind.group, kind.plural) for kind in vars(meta).values() if isinstance(kind, meta.Kind)
    }

    assert {
        (group, one.partition("/")[0]) for group, one in groups_of(*controller_roles())
    } == kinds


def test_nobody_is_given_everything_or_any_secret() -> None:
    roles = [one for one in shipped() if one["kind"].endswith("Role")]

    for role in roles:
        said = rights(role)
        assert "secrets" not in said
        assert not any("*" in resource or "*" in verbs for resource, verbs in said.items())


def test_subjects_name_the_account_of_the_deployment() -> None:
    deployment = named("manifests/deployment.yaml", "Deployment", "rollout-controller")
    namespace = deployment["metadata"]["namespace"]
    account = deployment["spec"]["template"]["spec"]["serviceAccountName"]

    named("manifests/rbac.yaml", "ServiceAccount", account)
    for binding in shipped():
        for subject in binding.get("subjects", ()):
            assert (subject["namespace"], subject["name"]) == (namespace, account)


def test_the_policy_names_the_account_of_the_deployment() -> None:
    deployment = named("manifests/deployment.yaml", "Deployment", "rollout-controller")
    policy = named("manifests/identity.yaml", "ValidatingAdmissionPolicy", "rollout-identity")
    namespace = deployment["metadata"]["namespace"]
    account = deployment["spec"]["template"]["spec"]["serviceAccountName"]

    (found,) = (v for v in policy["spec"]["variables"] if v["name"] == "account")
    assert found["expression"] == f"'system:serviceaccount:{namespace}:{account}'"


def test_who_edits_a_namespace_gets_no_right_to_command_by_aggregation() -> None:
    aggregated = [
        one
        for one in shipped()
        if any("aggregate-to" in label for label in one["metadata"].get("labels", {}))
    ]

    found = rights(*aggregated)
    assert {one["metadata"]["name"] for one in aggregated} == {"rollout-viewer", "rollout-editor"}
    assert found["rollouts"] == READ_ONLY | {"create", "update", "patch", "delete"}
    assert found["rolloutactions"] == READ_ONLY
    assert found["rolloutpolicies"] == found["clusterrolloutpolicies"] == READ_ONLY
    assert found.keys() == {
        "rollouts",
        "rolloutactions",
        "rolloutpolicies",
        "clusterrolloutpolicies",
    }


def test_each_right_to_command_is_one_roles_alone() -> None:
    people = {
        name: rights(named("manifests/rbac.yaml", "ClusterRole", f"rollout-{name}"))["rollouts"]
        for name in ("viewer", "editor", "operator", "approver")
    }

    commanding = {name: rights & {"promote", "abort", "approve"} for name, rights in people.items()}
    assert commanding == {
        "viewer": set(),
        "editor": set(),
        "operator": {"promote", "abort"},
        "approver": {"approve"},
    }


def test_the_deployment_runs_the_controller_with_both_probes() -> None:
    deployment = named("manifests/deployment.yaml", "Deployment", "rollout-controller")
    pod: dict[str, Any] = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    (port,) = container["ports"]

    assert container["args"][0] == "controller"
    assert (port["name"], port["containerPort"]) == ("http", 8080)
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "http"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}
    assert pod["securityContext"]["runAsNonRoot"] is True
