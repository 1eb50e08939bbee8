"""The chart, rendered by the real helm: the same as the plain manifests, and no more than asked."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest
import yaml

from rollout.api.meta import Manifest
from rollout.controller.authorship import fault
from tests.house.survey import ROOT
from tests.testbed import build

CHART = ROOT / "charts/rollout"
KUBERNETES = ("--kube-version", "1.34.2")
"""A helm that is built from its module believes in a Kubernetes far older than the chart's."""

PLAIN = tuple(ROOT / f"manifests/{name}.yaml" for name in ("rbac", "identity", "deployment"))

pytestmark = [
    pytest.mark.servers,
    pytest.mark.timeout(60),
    pytest.mark.skipif(bool(build.why_not("helm")), reason=build.why_not("helm")),
]


def helm(*args: str) -> subprocess.CompletedProcess[str]:
    program = build.find("helm")
    assert program is not None
    return subprocess.run([program, *args], capture_output=True, text=True, timeout=50, check=False)


def rendered(*sets: str, namespace: str = "rollout-system") -> list[Manifest]:
    flags = [flag for one in sets for flag in ("--set", one)]
    done = helm("template", "rollout", str(CHART), *KUBERNETES, "--namespace", namespace, *flags)
    assert done.returncode == 0, done.stderr
    return [one for one in yaml.safe_load_all(done.stdout) if one]


def by_name(manifests: list[Manifest]) -> dict[tuple[str, str], Manifest]:
    return {(one["kind"], one["metadata"]["name"]): one for one in manifests}


def bare(manifest: Manifest) -> dict[str, Any]:
    """What a manifest says apart from the labels that helm's users expect."""
    labels = {
        key: value
        for key, value in manifest["metadata"].get("labels", {}).items()
        if key.startswith("rbac.")
    }
    told = dict(manifest) | {"metadata": dict(manifest["metadata"]) | {"labels": labels}}
    if manifest["kind"] == "Deployment":
        (container,) = manifest["spec"]["template"]["spec"]["containers"]
        container.setdefault("imagePullPolicy", "IfNotPresent")
    return told


def test_by_default_the_chart_is_the_plain_manifests() -> None:
    plain = [one for path in PLAIN for one in yaml.safe_load_all(path.read_text()) if one]
    wanted = {key: bare(one) for key, one in by_name(plain).items() if one["kind"] != "Namespace"}

    found = {key: bare(one) for key, one in by_name(rendered()).items()}

    assert found == wanted


def test_namespaced_it_asks_for_no_right_beyond_its_namespace() -> None:
    less = ("namespaced=true", "peopleRoles=false", "identity.enabled=false")
    manifests = rendered(*less, namespace="shop")

    kinds = {one["kind"] for one in manifests}
    (deployment,) = (one for one in manifests if one["kind"] == "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert not any(kind.startswith("Cluster") for kind in kinds)
    assert {one["metadata"]["namespace"] for one in manifests} == {"shop"}
    assert "--namespace=shop" in container["args"]


def test_a_namespaced_release_has_the_same_rules_as_one_for_the_cluster() -> None:
    wide = by_name(rendered())["ClusterRole", "rollout-controller"]
    narrow = by_name(rendered("namespaced=true"))["Role", "rollout-controller-work"]

    assert narrow["rules"] == wide["rules"]


def test_namespaced_its_policy_is_for_that_namespace_and_names_its_own_account() -> None:
    manifests = by_name(rendered("namespaced=true", namespace="shop"))
    policy = manifests["ValidatingAdmissionPolicy", "rollout-identity-shop"]
    binding = manifests["ValidatingAdmissionPolicyBinding", "rollout-identity-shop"]
    role = manifests["ClusterRole", "rollout-controller-shop-identity"]
    (container,) = manifests["Deployment", "rollout-controller"]["spec"]["template"]["spec"][
        "containers"
    ]

    assert fault(policy, binding, namespace="shop") == ""
    assert "leave some commands out" in fault(policy, binding, namespace="")
    assert policy["spec"]["variables"][0]["expression"] == (
        "'system:serviceaccount:shop:rollout-controller'"
    )
    assert role["rules"][0]["resourceNames"] == ["rollout-identity-shop"]
    assert "--identity-policy=rollout-identity-shop" in container["args"]


def test_the_account_that_speaks_for_slack_can_be_chosen_but_breaks_out_of_no_quotes() -> None:
    account = "system:serviceaccount:elsewhere:ours"
    policy = by_name(rendered(f"identity.account={account}"))[
        "ValidatingAdmissionPolicy", "rollout-identity"
    ]
    wrong = helm(
        *("template", "rollout", str(CHART), *KUBERNETES),
        "--set",
        "identity.account=a' || true || '",
    )

    assert policy["spec"]["variables"][0]["expression"] == f"'{account}'"
    assert wrong.returncode != 0
    assert "account" in wrong.stderr


def test_a_server_without_admission_policies_is_given_none() -> None:
    done = helm("template", "rollout", str(CHART), "--kube-version", "1.29.0")

    assert done.returncode == 0, done.stderr
    assert "kind: Deployment" in done.stdout
    assert "kind: ValidatingAdmissionPolicy" not in done.stdout


def test_names_are_believed_unchecked_only_where_that_is_asked_for() -> None:
    args = [
        by_name(rendered(*sets))["Deployment", "rollout-controller"]["spec"]["template"]["spec"][
            "containers"
        ][0]["args"]
        for sets in ((), ("identity.enabled=false", "identity.trustActors=true"))
    ]

    assert ["--trust-actors" in each for each in args] == [False, True]


def test_settings_come_as_environment_variables() -> None:
    manifests = by_name(rendered("env.ROLLOUT_SCRAPE_INTERVAL=5s", "prometheus="))
    (container,) = manifests["Deployment", "rollout-controller"]["spec"]["template"]["spec"][
        "containers"
    ]

    assert container["env"] == [{"name": "ROLLOUT_SCRAPE_INTERVAL", "value": "5s"}]
    assert not any(arg.startswith("--prometheus") for arg in container["args"])


def test_istiod_is_asked_with_a_token_of_its_own_audience() -> None:
    address = "http://istiod.istio-system:15014"
    pods = [
        by_name(rendered(f"istiod.address={address}", *more))["Deployment", "rollout-controller"][
            "spec"
        ]["template"]["spec"]
        for more in ((), ("istiod.token=false",))
    ]

    (with_token,), (without,) = (pod["containers"] for pod in pods)
    (volume,) = pods[0]["volumes"]
    (mount,) = with_token["volumeMounts"]
    (source,) = volume["projected"]["sources"]
    assert f"--istiod={address}" in with_token["args"]
    assert f"--istiod-token-file={mount['mountPath']}/token" in with_token["args"]
    assert source["serviceAccountToken"]["audience"] == "istio-ca"
    assert (mount["name"], source["serviceAccountToken"]["path"]) == (volume["name"], "token")
    assert f"--istiod={address}" in without["args"]
    assert not any("token" in arg for arg in without["args"])
    assert "volumes" not in pods[1]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("replica=3", "replica"),
        ("prometheus=localhost", "prometheus"),
        ("istiod.adress=a", "adress"),
        ("replicas=-1", "replicas"),
    ],
)
def test_a_misspelt_value_is_refused_by_name(wrong: str, told: str) -> None:
    done = helm("template", "rollout", str(CHART), *KUBERNETES, "--set", wrong)

    assert done.returncode != 0
    assert told in done.stderr


def test_helm_finds_nothing_to_complain_of() -> None:
    done = helm("lint", "--strict", str(CHART))

    assert done.returncode == 0, done.stdout + done.stderr
