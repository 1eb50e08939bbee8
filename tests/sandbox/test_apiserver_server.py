"""The embedded API server as a server: accounting, its process, what it does in its own way."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from kubernetes_asyncio import client, config, watch

from rollout.sandbox.apiserver import Server, serve, watches
from rollout.sandbox.crds import istio_crds
from tests.sandbox.apiclient import MERGE, Api, connected
from tests.sandbox.apiserver_samples import BASE, GROUP, crd, parcel

PODS = "/api/v1/namespaces/default/pods"


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with serve([crd()], version=1_000) as running:
        yield running


@pytest.fixture
async def api(server: Server) -> AsyncIterator[Api]:
    async with connected(server.url) as connection:
        yield connection


async def test_without_the_secret_there_is_nothing(server: Server) -> None:
    root = server.url.rpartition("/")[0]

    async with connected(root) as stranger:
        answers = [await stranger.ask("GET", path) for path in ("/api", "/wrong/api", "/version")]

    assert [one.code for one in answers] == [404, 404, 404]


async def test_requests_are_counted_by_agent_verb_and_resource(api: Api) -> None:
    await api.ask("DELETE", "/debug/requests")
    await api.create(BASE, parcel("a"))
    await api.merge(f"{BASE}/a/status", {"status": {"phase": "Sent"}})
    await api.get(BASE)
    await api.ask("GET", f"{BASE}/none")
    async with api.watch(BASE) as stream:
        await stream.next()
        counted = await api.get("/debug/requests")
        opened = await api.get("/debug/watches")

    rows = {(row["verb"], row["resource"]): row for row in counted["requests"]}
    kind = f"parcels.{GROUP}"
    assert rows["create", kind]["requests"] == 1
    assert rows["create", kind]["bytesIn"] > 50
    assert rows["patch", f"{kind}/status"]["agent"] == "tester"
    assert rows["list", kind]["requests"] == 1
    assert rows["get", kind]["refused"] == 1
    assert counted["watches"][0]["opened"] == 1
    assert counted["watches"][0]["events"] == 1
    assert counted["watches"][0]["bytesOut"] > 100
    assert [one["resource"] for one in opened["watches"]] == [kind]


async def test_a_watch_that_was_left_is_closed(server: Server, api: Api) -> None:
    async with api.watch(BASE):
        while_open = len(server.cluster.watches.open)
    for _ in range(100):
        if not server.cluster.watches.open:
            break
        await asyncio.sleep(0.01)

    assert while_open == 1
    assert not server.cluster.watches.open


async def test_a_watcher_that_does_not_read_is_ended_in_the_end(
    api: Api, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watches, "BACKLOG_LIMIT_BYTES", 100_000)
    await api.create(BASE, parcel("a"))

    async with api.watch(BASE) as stream:
        await stream.next()
        for number in range(200):
            note = f"{number}" + "x" * 500_000
            await api.merge(f"{BASE}/a/status", {"status": {"note": note}})
            if not server.cluster.watches.open:
                break

    assert not server.cluster.watches.open


async def test_too_many_watches_are_told_to_come_back_later(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watches, "WATCH_LIMIT_COUNT", 1)

    async with api.watch(BASE):
        answer = await api.ask("GET", BASE, watch="1")

    assert (answer.code, answer.headers["Retry-After"]) == (429, "1")


async def test_bookmarks_come_at_their_interval(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watches, "BOOKMARK_SECONDS", 0.05)

    async with api.watch(BASE, allowWatchBookmarks="true") as stream:
        first, second = await stream.take(2)

    assert first["object"]["metadata"] == {
        "resourceVersion": first["object"]["metadata"]["resourceVersion"]
    }
    assert (first["type"], second["type"]) == ("BOOKMARK", "BOOKMARK")


async def test_the_hash_of_openapi_changes_with_the_schema(api: Api) -> None:
    name = f"apis/{GROUP}/v1"
    crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    before = (await api.get("/openapi/v3"))["paths"][name]["serverRelativeURL"]
    versions = crd()["spec"]["versions"]
    schema = versions[0]["schema"]["openAPIV3Schema"]
    schema["properties"]["spec"]["properties"]["fresh"] = {"type": "string"}

    await api.merge(f"{crds}/parcels.{GROUP}", {"spec": {"versions": versions}})
    after = (await api.get("/openapi/v3"))["paths"][name]["serverRelativeURL"]
    document = await api.get(after.partition("?")[0])

    assert before != after
    properties = document["components"]["schemas"]["example.shop.v1.Parcel"]["properties"]
    assert "fresh" in properties["spec"]["properties"]
    assert (await api.ask("GET", "/openapi/v2")).code == 404


async def test_keys_written_twice_are_refused_when_asked_to_be_strict(api: Api) -> None:
    raw = orjson.dumps(parcel("a")).replace(b'"host":', b'"host":"x","host":')

    answer = await api.ask("POST", BASE, raw=raw, fieldValidation="Strict")

    assert answer.code == 400
    assert 'strict decoding error: duplicate field "spec.host"' in answer.body["message"]


async def test_strict_on_a_patch_is_422_and_names_the_field(api: Api) -> None:
    await api.create(BASE, parcel("a"))

    answer = await api.merge(f"{BASE}/a", {"spec": {"bogus": 1}}, fieldValidation="Strict")

    assert answer.code == 422
    assert 'strict decoding error: unknown field "spec.bogus"' in answer.body["message"]


async def test_broken_json_and_odd_methods_are_refused(api: Api) -> None:
    broken = await api.ask("POST", BASE, raw=b"{")
    array = await api.ask("POST", BASE, raw=b"[]")
    odd = await api.ask("POST", f"{BASE}/a", parcel("a"))
    media = await api.ask("POST", BASE, raw=b"x", media_type="text/plain")
    unread = await api.ask("GET", BASE, accept="text/html")

    codes = [one.code for one in (broken, array, odd, media, unread)]
    assert codes == [400, 400, 405, 415, 406]


@pytest.mark.parametrize("path", ["/version", "/healthz", "/readyz", "/livez", "/api", "/api/v1"])
async def test_the_usual_paths_answer(api: Api, path: str) -> None:
    assert (await api.ask("GET", path)).code == 200


async def test_a_namespace_becomes_known_with_its_first_object(api: Api) -> None:
    await api.create(BASE.replace("default", "fresh"), parcel("a"))

    namespace = await api.get("/api/v1/namespaces/fresh")

    assert namespace["status"] == {"phase": "Active"}
    assert namespace["metadata"]["labels"] == {"kubernetes.io/metadata.name": "fresh"}


async def test_pods_take_status_writes_and_can_be_selected_by_phase(api: Api) -> None:
    await api.create(PODS, {"metadata": {"name": "p"}, "spec": {"containers": []}})

    await api.merge(f"{PODS}/p/status", {"status": {"phase": "Running", "podIP": "127.0.0.9"}})
    running = await api.get(PODS, fieldSelector="status.phase=Running")

    assert [one["status"]["podIP"] for one in running["items"]] == ["127.0.0.9"]


@pytest.mark.parametrize("version", ["v1", "v1beta1", "v1alpha3"])
async def test_istio_kinds_are_kept_once_and_shown_in_the_version_asked_for(version: str) -> None:
    async with serve(istio_crds()) as server, connected(server.url) as api:
        path = "/apis/networking.istio.io/{}/namespaces/default/virtualservices"
        service = {
            "apiVersion": "networking.istio.io/v1",
            "kind": "VirtualService",
            "metadata": {"name": "a"},
            "spec": {"hosts": ["a"], "http": [{"route": [{"destination": {"host": "a"}}]}]},
        }
        await api.create(path.format("v1"), service)

        seen = await api.get(f"{path.format(version)}/a")

    assert seen["apiVersion"] == f"networking.istio.io/{version}"
    assert seen["spec"] == service["spec"]


# --- the client library of the controller


async def test_kubernetes_asyncio_lists_watches_and_patches(server: Server, api: Api) -> None:
    await api.create(BASE, parcel("a"))
    settings = client.Configuration()
    loader = yaml.safe_load(server.kubeconfig_text())
    await config.load_kube_config_from_dict(loader, client_configuration=settings)
    place = (GROUP, "v1", "default", "parcels")
    seen: list[Any] = []

    async with client.ApiClient(settings) as connection:
        custom = client.CustomObjectsApi(connection)
        listed = await custom.list_namespaced_custom_object(*place)
        version = listed["metadata"]["resourceVersion"]
        patch = {"status": {"phase": "Sent"}}
        write: Any = custom.patch_namespaced_custom_object_status
        await write(*place, "a", patch, _content_type=MERGE)
        pods = await client.CoreV1Api(connection).list_namespaced_pod("default")
        async with watch.Watch() as stream:
            async for event in stream.stream(
                custom.list_namespaced_custom_object,
                *place,
                resource_version=version,
                timeout_seconds=5,
            ):
                seen.append(event)
                break

    assert [one["metadata"]["name"] for one in listed["items"]] == ["a"]
    assert pods.items == []
    assert seen[0]["type"] == "MODIFIED"
    assert seen[0]["object"]["status"] == {"phase": "Sent"}


# --- the process


async def _started(*words: str) -> tuple[asyncio.subprocess.Process, dict[str, Any]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "rollout.sandbox.apiserver",
        *words,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    async with asyncio.timeout(30):
        line = await process.stdout.readline()
    said: dict[str, Any] = orjson.loads(line)
    return process, said


@pytest.mark.servers
@pytest.mark.timeout(60)
async def test_the_process_serves_files_says_where_and_ends_on_sigterm(tmp_path: Path) -> None:
    (tmp_path / "crds").mkdir()
    (tmp_path / "crds" / "parcels.yaml").write_text(yaml.safe_dump(crd()))
    kubeconfig = tmp_path / "kubeconfig"
    folder = str(tmp_path / "crds")

    process, said = await _started(
        "--crds", folder, "--kubeconfig-out", str(kubeconfig), "--namespace", "shop", "--istio"
    )
    async with connected(said["url"]) as api:
        await api.create(BASE, parcel("a"))
        crds = await api.get("/apis/apiextensions.k8s.io/v1/customresourcedefinitions")
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(10):
        code = await process.wait()

    written = yaml.safe_load(kubeconfig.read_text())
    assert code == 0
    assert len(crds["items"]) == 8
    assert said["kubeconfig"] == str(kubeconfig)
    assert written["clusters"][0]["cluster"]["server"] == said["url"]
    assert written["contexts"][0]["context"]["namespace"] == "shop"
    assert written["current-context"] == "sandbox"
    assert kubeconfig.stat().st_mode & 0o077 == 0


@pytest.mark.servers
@pytest.mark.timeout(60)
async def test_the_process_dies_with_its_parent() -> None:
    script = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-m', 'rollout.sandbox.apiserver'],"
        " stdout=subprocess.PIPE)\n"
        "child.stdout.readline()\n"
        "print(child.pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    parent = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        script,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert parent.stdout is not None
    pid = int(await parent.stdout.readline())

    parent.kill()
    await parent.wait()

    for _ in range(200):
        if not _is_running(pid):
            return
        await asyncio.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    pytest.fail("the server outlived its parent")


def _is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.servers
@pytest.mark.timeout(60)
async def test_a_broken_crd_file_ends_the_process_with_one_line(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("a: [")

    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "rollout.sandbox.apiserver",
        "--crds",
        str(tmp_path / "bad.yaml"),
        stderr=asyncio.subprocess.PIPE,
    )
    _, err = await process.communicate()

    assert process.returncode == 1
    assert b"bad.yaml: file is no YAML" in err


@pytest.mark.skipif(
    "ROLLOUT_TEST_DATA" not in os.environ, reason="ROLLOUT_TEST_DATA does not name Istio's data"
)
async def test_istios_own_crds_are_taken_as_they_are() -> None:
    text = (Path(os.environ["ROLLOUT_TEST_DATA"]) / "istio" / "crd-all.gen.yaml").read_bytes()
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    documents = [one for one in yaml.load_all(text, Loader=loader) if one]

    async with serve(documents) as server, connected(server.url) as api:
        found = await api.get("/apis/networking.istio.io/v1")

    names = {one["name"] for one in found["resources"]}
    assert {"virtualservices", "destinationrules", "workloadentries"} <= names
