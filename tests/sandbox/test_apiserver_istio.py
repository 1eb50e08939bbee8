"""Istio's own CRDs and its cases for them, against the embedded API server.

Two kinds of refusals are not expected: those of CEL rules, which are not evaluated here, and those
of nulls, which Istio's harness keeps and a real API server drops before it validates.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from rollout.sandbox.apiserver import Server, serve
from tests.sandbox.apiclient import Answer, Api, connected

DATA = Path(os.environ.get("ROLLOUT_TEST_DATA", "/nonexistent")) / "istio"

pytestmark = pytest.mark.skipif(
    not DATA.is_dir(), reason="ROLLOUT_TEST_DATA does not name Istio's data"
)

# Words that only the schema part of a validation says.
SCHEMA_WORDS = (" in body ", "Required value", "Unsupported value", "Too many", "Too long")


def _documents(path: Path) -> Iterator[dict[str, Any]]:
    # Go's YAML and Python's disagree about a plain scalar that ends with colons.
    text = path.read_text().replace(" 001:db8::]", ' "001:db8::"]')
    for number, one in enumerate(yaml.safe_load_all(text)):
        if one:
            plain: dict[str, Any] = json.loads(json.dumps(one, default=str))
            plain.setdefault("metadata", {})["name"] = f"{path.stem.lower()}-{number}"
            yield plain


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    text = (DATA / "crd-all.gen.yaml").read_bytes()
    crds = [one for one in yaml.load_all(text, Loader=loader) if one]
    async with serve(crds) as running:
        yield running


@pytest.fixture
async def api(server: Server) -> AsyncIterator[Api]:
    async with connected(server.url) as connection:
        yield connection


async def _created(server: Server, api: Api, body: dict[str, Any]) -> Answer:
    resource = server.cluster.registry.by_kind(body["apiVersion"], body["kind"])
    assert resource is not None, body["kind"]
    namespace = body["metadata"].get("namespace", "default")
    path = f"/apis/{body['apiVersion']}/namespaces/{namespace}/{resource.plural}"
    return await api.ask("POST", path, body, fieldValidation="Strict")


async def test_what_istio_calls_valid_is_accepted(server: Server, api: Api) -> None:
    files = sorted(DATA.glob("crds_valid_invalid/*-valid.yaml"))
    files += sorted(DATA.glob("validation_dataset/*.yaml"))
    refused = []

    for path in files:
        for body in _documents(path):
            answer = await _created(server, api, body)
            if answer.code != 201:
                refused.append((path.name, answer.text))

    assert len(files) > 40
    assert refused == []


async def test_what_istios_schemas_refuse_is_refused_in_the_same_words(
    server: Server, api: Api
) -> None:
    different, same_count = [], 0

    for path in sorted(DATA.glob("crds_valid_invalid/*-invalid.yaml")):
        for body in _documents(path):
            expected = body.pop("_err")
            if '"null"' in expected or not any(word in expected for word in SCHEMA_WORDS):
                continue
            answer = await _created(server, api, body)
            if answer.code == 422 and expected in answer.body["message"]:
                same_count += 1
            else:
                different.append((path.name, expected, answer.text))

    assert different == []
    assert same_count > 20
