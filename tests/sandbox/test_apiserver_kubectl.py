"""The real kubectl against the embedded API server, as a person would use it."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from rollout.sandbox.apiserver import Server, serve
from rollout.sandbox.crds import istio_crds
from tests.sandbox.apiserver_samples import crd, parcel

OLDEST_MINOR = 27  # --subresource and --for=create came about then
COMMAND_SECONDS = 30.0


@functools.cache
def _why_not() -> str:
    """Return why kubectl cannot be used; empty when it can."""
    found = shutil.which("kubectl")
    if found is None:
        return "kubectl is not on the PATH"
    said = subprocess.run(
        [found, "version", "--client", "-o", "json"], capture_output=True, check=False, timeout=30
    )
    if said.returncode != 0:
        return "kubectl version --client fails"
    version = json.loads(said.stdout)["clientVersion"]
    minor = int("".join(filter(str.isdigit, version["minor"])) or 0)
    return "" if minor >= OLDEST_MINOR else f"kubectl is older than 1.{OLDEST_MINOR}"


pytestmark = [
    pytest.mark.servers,
    pytest.mark.timeout(90),
    pytest.mark.skipif(bool(_why_not()), reason=_why_not() or "kubectl is there"),
]


class Kubectl:
    """Runs kubectl in a home of its own."""

    def __init__(self, home: Path, server: Server) -> None:
        self.home = home
        self.server = server
        config = home / "kubeconfig"
        config.write_text(server.kubeconfig_text())
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "KUBECONFIG": str(config),
            "NO_PROXY": "127.0.0.1",
        }

    async def start(self, *words: str, **environment: str) -> asyncio.subprocess.Process:
        """Start a command."""
        return await asyncio.create_subprocess_exec(
            "kubectl",
            *words,
            env={**self.environment, **environment},
            cwd=self.home,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def run(self, *words: str, code: int = 0, **environment: str) -> str:
        """Run a command; return what it printed, errors last."""
        process = await self.start(*words, **environment)
        async with asyncio.timeout(COMMAND_SECONDS):
            out, err = await process.communicate()
        text = out.decode() + err.decode()
        assert process.returncode == code, f"kubectl {' '.join(words)}: {text}"
        return text

    def file(self, name: str, *objects: dict[str, Any]) -> str:
        """Write a manifest."""
        (self.home / name).write_text(yaml.safe_dump_all(objects))
        return name


@pytest.fixture
async def kubectl(tmp_path: Path) -> AsyncIterator[Kubectl]:
    async with serve([crd(), *istio_crds()]) as server:
        yield Kubectl(tmp_path, server)


async def test_apply_says_created_configured_and_unchanged(kubectl: Kubectl) -> None:
    file = kubectl.file("a.yaml", parcel("a"))
    changed = kubectl.file("b.yaml", parcel("a", count=2))

    said = [await kubectl.run("apply", "-f", name) for name in (file, file, changed)]

    assert said == [
        "parcel.shop.example/a created\n",
        "parcel.shop.example/a unchanged\n",
        "parcel.shop.example/a configured\n",
    ]


async def test_server_side_apply_works_also_after_client_side_apply(kubectl: Kubectl) -> None:
    kubectl.file("a.yaml", parcel("a"))

    first = await kubectl.run("apply", "--server-side", "-f", "a.yaml")
    await kubectl.run("apply", "-f", kubectl.file("b.yaml", parcel("b")))
    second = await kubectl.run("apply", "--server-side", "-f", "b.yaml")

    assert first == second.replace("/b ", "/a ")
    assert "serverside-applied" in first


async def test_a_mistake_is_refused_in_plain_words(kubectl: Kubectl) -> None:
    kubectl.file("a.yaml", parcel("a", bogus=1))
    kubectl.file("b.yaml", parcel("b", steps=[{"weight": 101}]))

    unknown = await kubectl.run("apply", "-f", "a.yaml", code=1)
    wrong = await kubectl.run("create", "-f", "b.yaml", code=1)

    assert 'strict decoding error: unknown field "spec.bogus"' in unknown
    assert "should be less than or equal to 100" in wrong


async def test_get_prints_the_columns_of_the_crd(kubectl: Kubectl) -> None:
    await kubectl.run("create", "-f", kubectl.file("a.yaml", parcel("a")))

    narrow = await kubectl.run("get", "pa")
    wide = await kubectl.run("get", "parcels", "-o", "wide", "-A")
    names = await kubectl.run("get", "pa", "-o", "name", "-l", "!nothing")
    text = await kubectl.run("get", "pa", "a", "-o", "yaml")
    ordered = await kubectl.run("get", "pa", "--sort-by=.spec.host")

    assert narrow.splitlines()[0].split() == ["NAME", "HOST", "READY", "AGE"]
    assert wide.splitlines()[0].split() == ["NAMESPACE", "NAME", "HOST", "READY", "NOTE", "AGE"]
    assert names == "parcel.shop.example/a\n"
    assert yaml.safe_load(text)["spec"]["host"] == "reviews"
    assert ordered.splitlines()[1].startswith("a ")


async def test_get_with_watch_prints_a_line_for_each_change(kubectl: Kubectl) -> None:
    await kubectl.run("create", "-f", kubectl.file("a.yaml", parcel("a")))
    process = await kubectl.start("get", "pa", "a", "-w")
    assert process.stdout is not None

    async with asyncio.timeout(COMMAND_SECONDS):
        lines = [await process.stdout.readline() for _ in range(2)]
        await _until_watched(kubectl)
        await kubectl.run("patch", "pa", "a", "--type=merge", "-p", '{"spec":{"host":"other"}}')
        lines.append(await process.stdout.readline())
    process.terminate()
    await process.communicate()

    assert lines[0].split()[:2] == [b"NAME", b"HOST"]
    assert lines[1].split()[:2] == [b"a", b"reviews"]
    assert lines[2].split()[:2] == [b"a", b"other"]


async def _until_watched(kubectl: Kubectl) -> None:
    for _ in range(200):
        if kubectl.server.cluster.watches.open:
            return
        await asyncio.sleep(0.05)
    pytest.fail("kubectl opened no watch")


async def test_explain_tells_the_fields_and_their_descriptions(kubectl: Kubectl) -> None:
    fields = await kubectl.run("explain", "pa.spec", "--recursive")
    one = await kubectl.run("explain", "parcel.spec.host")

    assert "weight\t<integer> -required-" in fields
    assert "Where it goes." in one


async def test_describe_shows_the_events_of_an_object(kubectl: Kubectl) -> None:
    await kubectl.run("create", "-f", kubectl.file("a.yaml", parcel("a")))
    uid = await kubectl.run("get", "pa", "a", "-o", "jsonpath={.metadata.uid}")
    about = {"apiVersion": "shop.example/v1", "kind": "Parcel", "name": "a", "uid": uid}
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "a.1", "namespace": "default"},
        "involvedObject": {**about, "namespace": "default"},
        "type": "Normal",
        "reason": "Sent",
        "message": "on its way",
    }
    await kubectl.run("create", "-f", kubectl.file("e.yaml", event))

    described = await kubectl.run("describe", "pa", "a")
    listed = await kubectl.run("get", "events")
    said = await kubectl.run("events", "--for", "parcel/a")

    assert "on its way" in described
    assert "parcel/a" in listed
    assert "Sent" in said


async def test_patches_labels_and_the_status_subresource(kubectl: Kubectl) -> None:
    await kubectl.run("create", "-f", kubectl.file("a.yaml", parcel("a")))
    operations = '[{"op":"add","path":"/spec/count","value":7}]'

    await kubectl.run("patch", "pa", "a", "--type=json", "-p", operations)
    await kubectl.run("label", "pa", "a", "x=y")
    await kubectl.run("annotate", "pa", "a", "n=m")
    status = '{"status":{"phase":"Sent"}}'
    await kubectl.run("patch", "pa", "a", "--type=merge", "--subresource=status", "-p", status)
    await kubectl.run("scale", "pa", "a", "--replicas=3")

    found = json.loads(await kubectl.run("get", "pa", "a", "-o", "json"))
    assert (found["spec"]["count"], found["spec"]["replicas"]) == (7, 3)
    assert found["metadata"]["labels"] == {"x": "y"}
    assert found["status"] == {"phase": "Sent"}


async def test_edit_replace_and_diff(kubectl: Kubectl) -> None:
    await kubectl.run("apply", "-f", kubectl.file("a.yaml", parcel("a")))
    editor = kubectl.home / "editor"
    editor.write_text("#!/bin/sh\nsed -i 's/host: reviews/host: edited/' \"$1\"\n")
    editor.chmod(0o755)

    difference = await kubectl.run(
        "diff", "-f", kubectl.file("b.yaml", parcel("a", count=5)), code=1
    )
    await kubectl.run("edit", "pa", "a", EDITOR=str(editor), KUBE_EDITOR=str(editor))
    edited = await kubectl.run("get", "pa", "a", "-o", "jsonpath={.spec.host}")
    await kubectl.run("replace", "-f", "b.yaml")
    replaced = await kubectl.run("get", "pa", "a", "-o", "jsonpath={.spec.host}/{.spec.count}")

    assert "+  count: 5" in difference
    assert edited == "edited"
    assert replaced == "reviews/5"


async def test_delete_waits_for_finalizers(kubectl: Kubectl) -> None:
    held = parcel("held", metadata={"finalizers": ["a.b/c"]})
    await kubectl.run("create", "-f", kubectl.file("a.yaml", parcel("free"), held))

    plain = await kubectl.run("delete", "pa", "free")
    process = await kubectl.start("delete", "pa", "held")
    await _until_watched(kubectl)
    assert process.returncode is None
    nothing = '{"metadata":{"finalizers":null}}'
    await kubectl.run("patch", "pa", "held", "--type=merge", "-p", nothing)
    async with asyncio.timeout(COMMAND_SECONDS):
        await process.communicate()

    assert "deleted" in plain
    assert process.returncode == 0
    assert "No resources found" in await kubectl.run("get", "pa")


async def test_wait_sees_conditions_and_fields_come(kubectl: Kubectl) -> None:
    await kubectl.run("create", "-f", kubectl.file("a.yaml", parcel("a")))
    process = await kubectl.start(
        "wait", "pa/a", "--for=jsonpath={.status.phase}=Sent", "--timeout=20s"
    )
    await _until_watched(kubectl)
    ready = [{"type": "Ready", "status": "True"}]
    status = json.dumps({"status": {"phase": "Sent", "conditions": ready}})

    await kubectl.run("patch", "pa", "a", "--type=merge", "--subresource=status", "-p", status)
    async with asyncio.timeout(COMMAND_SECONDS):
        out, _ = await process.communicate()
    condition = await kubectl.run("wait", "pa/a", "--for=condition=Ready", "--timeout=5s")

    assert out == b"parcel.shop.example/a condition met\n"
    assert "condition met" in condition


async def test_questions_about_the_server_itself(kubectl: Kubectl) -> None:
    can = await kubectl.run("auth", "can-i", "patch", "parcels")
    known = await kubectl.run("api-resources", "--api-group=shop.example")
    version = await kubectl.run("version")
    prefix = kubectl.server.url.rpartition("/")[2]  # kubectl puts none before a raw path
    ready = await kubectl.run("get", "--raw", f"/{prefix}/readyz")
    who = await kubectl.run("auth", "whoami")

    assert can == "yes\n"
    assert known.splitlines()[1].split() == ["parcels", "pa", "shop.example/v1", "true", "Parcel"]
    assert "Server Version: v1.34" in version
    assert ready == "ok"
    assert "sandbox" in who


DEPLOYMENT: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web"},
    "spec": {
        "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "web", "image": "web:1"}]},
        },
    },
}


async def test_built_in_kinds_can_be_applied_scaled_and_patched(kubectl: Kubectl) -> None:
    changed = json.loads(json.dumps(DEPLOYMENT))
    changed["spec"]["template"]["spec"]["containers"][0]["image"] = "web:2"
    await kubectl.run("apply", "-f", kubectl.file("a.yaml", DEPLOYMENT))

    await kubectl.run("set", "env", "deployment/web", "A=b")
    await kubectl.run("scale", "deployment/web", "--replicas=4")
    said = await kubectl.run("apply", "-f", kubectl.file("b.yaml", changed))

    assert said == "deployment.apps/web configured\n"
    found = json.loads(await kubectl.run("get", "deploy", "web", "-o", "json"))
    container = found["spec"]["template"]["spec"]["containers"][0]
    assert container == {"name": "web", "image": "web:2", "env": [{"name": "A", "value": "b"}]}
    assert found["spec"]["replicas"] == 4


async def test_crds_are_served_as_soon_as_they_are_applied(kubectl: Kubectl) -> None:
    definition = crd()
    definition["metadata"]["name"] = "boxes.shop.example"
    definition["spec"]["names"] = {"plural": "boxes", "kind": "Box", "singular": "box"}

    await kubectl.run("apply", "-f", kubectl.file("crd.yaml", definition))
    await kubectl.run("wait", "--for=condition=Established", "crd/boxes.shop.example")
    box = parcel("a") | {"kind": "Box"}
    await kubectl.run("apply", "-f", kubectl.file("box.yaml", box))

    assert "reviews" in await kubectl.run("get", "boxes")


async def test_istio_kinds_are_served_in_three_versions(kubectl: Kubectl) -> None:
    route = {"destination": {"host": "reviews", "subset": "v1"}, "weight": 90}
    service = {
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "VirtualService",
        "metadata": {"name": "reviews"},
        "spec": {"hosts": ["reviews"], "http": [{"route": [route]}]},
    }
    bad = json.loads(json.dumps(service))
    bad["spec"]["http"][0]["route"] = [{"weight": "ten"}]

    await kubectl.run("apply", "-f", kubectl.file("a.yaml", service))
    table = await kubectl.run("get", "vs")
    kept = json.loads(await kubectl.run("get", "vs.v1.networking.istio.io", "-o", "json"))
    refused = await kubectl.run("apply", "-f", kubectl.file("b.yaml", bad), code=1)

    assert table.splitlines()[1].split()[:2] == ["reviews", '["reviews"]']
    assert kept["items"][0]["apiVersion"] == "networking.istio.io/v1"
    assert "spec.http[0].route[0].destination: Required value" in refused
    assert "must be of type integer" in refused


async def test_a_namespace_takes_its_objects_along(kubectl: Kubectl) -> None:
    await kubectl.run("create", "namespace", "shop")
    await kubectl.run("create", "-n", "shop", "-f", kubectl.file("a.yaml", parcel("a")))

    await kubectl.run("delete", "namespace", "shop")

    assert "No resources found" in await kubectl.run("get", "pa", "-A")
