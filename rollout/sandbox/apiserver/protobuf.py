"""Protobuf bodies: the few that kubectl sends where everything else is JSON.

``kubectl create namespace`` (configmap, serviceaccount) uses typed clients, which speak protobuf
and do not fall back to JSON. Only simple kinds can be read: their fields are named here by number,
from Kubernetes' published ``generated.proto`` files.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from rollout.sandbox.apiserver import refusals
from rollout.sandbox.apiserver.trees import Json, Tree

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"

_MAGIC = b"k8s\x00"
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_VARINT_LIMIT_BITS = 64


@dataclass(frozen=True, slots=True)
class _Message:
    """Field names by number: texts, maps of texts, and messages."""

    texts: dict[int, str] = field(default_factory=dict)
    maps: dict[int, str] = field(default_factory=dict)
    messages: dict[int, tuple[str, _Message]] = field(default_factory=dict)


_META = _Message(
    texts={1: "name", 2: "generateName", 3: "namespace"}, maps={11: "labels", 12: "annotations"}
)
_TYPE = _Message(texts={1: "apiVersion", 2: "kind"})
_KINDS: dict[str, _Message] = {
    "Namespace": _Message(messages={1: ("metadata", _META)}),
    "ServiceAccount": _Message(messages={1: ("metadata", _META)}),
    "ConfigMap": _Message(maps={2: "data"}, messages={1: ("metadata", _META)}),
}


def _varint(raw: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while shift < _VARINT_LIMIT_BITS:
        byte = raw[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise IndexError


def _fields(raw: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the length-delimited fields of a message; numbers are passed over."""
    position = 0
    while position < len(raw):
        key, position = _varint(raw, position)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            _, position = _varint(raw, position)
        elif wire in {_FIXED64, _FIXED32}:
            position += 8 if wire == _FIXED64 else 4
        elif wire == _BYTES:
            length, position = _varint(raw, position)
            if position + length > len(raw):
                raise IndexError
            yield number, raw[position : position + length]
            position += length
        else:
            raise IndexError


def _read(raw: bytes, message: _Message) -> Json:
    found: Json = {}
    for number, value in _fields(raw):
        if number in message.texts:
            found[message.texts[number]] = value.decode()
        elif number in message.maps:
            pair: dict[int, str] = {key: text.decode() for key, text in _fields(value)}
            entries: dict[str, Tree] = found.setdefault(message.maps[number], {})
            entries[pair.get(1, "")] = pair.get(2, "")
        elif number in message.messages:
            name, below = message.messages[number]
            found[name] = _read(value, below)
    return {key: value for key, value in found.items() if value not in ("", {})}


def decoded(raw: bytes) -> Json:
    """Read a typed object.

    Raises:
        Refusal: 400 it is broken; 415 it is of a kind that is not understood.
    """
    try:
        outer = dict(_fields(raw.removeprefix(_MAGIC)))
        kind = _read(outer.get(1, b""), _TYPE)
        message = _KINDS.get(kind.get("kind", ""))
        if message is None:
            raise refusals.unsupported_media(["application/json", "application/yaml"])
        return {**kind, **_read(outer.get(2, b""), message)}
    except (IndexError, UnicodeDecodeError):
        problem = "the body is no protobuf message"
        raise refusals.bad_request(problem) from None
