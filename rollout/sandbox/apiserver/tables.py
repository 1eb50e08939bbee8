"""Tables: how ``kubectl get`` wants objects, one row each, ages as ready-made text."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from rollout.base import errors
from rollout.sandbox.apiserver import jsonpath
from rollout.sandbox.apiserver.kinds import Column, Version
from rollout.sandbox.apiserver.trees import Json, Tree, mapping, shown

_DAY_HOURS = 24
_YEAR_HOURS = 365 * _DAY_HOURS


def _pair(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large}{large_unit}{small}{small_unit}" if small else f"{large}{large_unit}"


def age(seconds: float) -> str:
    """Write a duration as kubectl does: ``102s``, ``3m10s``, ``5h``, ``2d3h``, ``1y40d``."""
    if seconds < -1:
        return "<invalid>"
    whole = max(0, int(seconds))
    minutes, hours = whole // 60, whole // 3600
    steps = (
        (whole < 120, f"{whole}s"),
        (minutes < 10, _pair(minutes, "m", whole % 60, "s")),
        (minutes < 180, f"{minutes}m"),
        (hours < 8, _pair(hours, "h", minutes % 60, "m")),
        (hours < 48, f"{hours}h"),
        (hours < 8 * _DAY_HOURS, _pair(hours // _DAY_HOURS, "d", hours % _DAY_HOURS, "h")),
        (hours < 2 * _YEAR_HOURS, f"{hours // _DAY_HOURS}d"),
        (
            hours < 8 * _YEAR_HOURS,
            _pair(hours // _YEAR_HOURS, "y", hours // _DAY_HOURS % 365, "d"),
        ),
    )
    return next((text for fits, text in steps if fits), f"{hours // _YEAR_HOURS}y")


def age_of(stamp: Tree, now: datetime) -> str:
    """Write how long ago an RFC 3339 time was."""
    if not isinstance(stamp, str):
        return "<unknown>"
    try:
        then = datetime.fromisoformat(stamp)
    except ValueError:
        return "<invalid>"
    if then.tzinfo is None:
        return "<invalid>"
    return age((now - then).total_seconds())


def _creation_age(body: Json, now: datetime) -> Tree:
    return age_of(mapping(body.get("metadata")).get("creationTimestamp"), now)


NAME = Column(
    name="Name",
    cell=lambda body, _: mapping(body.get("metadata")).get("name"),
    format="name",
    description="Name must be unique within a namespace.",
)
AGE = Column(
    name="Age",
    cell=_creation_age,
    description="Time since the object was created, as the server's clock tells it.",
)


def printer_column(spec: Json) -> Column:
    """Build the column of one ``additionalPrinterColumns`` item.

    Raises:
        BadManifest: its jsonPath cannot be understood.
    """
    path = jsonpath.Path(spec.get("jsonPath", ""))
    kind = spec.get("type", "string")

    def cell(body: Json, now: datetime) -> Tree:
        found = path.find(body)
        return None if not found else _printed(found[0], kind, now)

    return Column(
        name=spec.get("name", ""),
        cell=cell,
        type=kind,
        format=spec.get("format", ""),
        description=spec.get("description", ""),
        priority=spec.get("priority", 0),
    )


def _printed(value: Tree, kind: str, now: datetime) -> Tree:
    """Turn a found value into a cell; one that does not fit the column's type prints empty."""
    if kind == "date":
        return age_of(value, now)
    if kind == "string":
        return value if isinstance(value, str) else _plain(value)
    wanted: dict[str, tuple[type, ...]] = {
        "boolean": (bool,),
        "integer": (int, float),
        "number": (int, float),
    }
    if not isinstance(value, wanted.get(kind, ())) or (
        isinstance(value, bool) != (kind == "boolean")
    ):
        return None
    number: Tree = value
    return int(number) if kind == "integer" else number


def _plain(value: Tree) -> Tree:
    return None if value is None else shown(value)


def columns_of(version: Version) -> list[Column]:
    """Return all columns of a version, the name first."""
    return [NAME, *(version.columns if version.columns is not None else (AGE,))]


def definitions(columns: Iterable[Column]) -> list[Json]:
    """Describe columns for the head of a table."""
    return [
        {
            "name": column.name,
            "type": column.type,
            "format": column.format,
            "description": column.description,
            "priority": column.priority,
        }
        for column in columns
    ]


def row(columns: list[Column], body: Json, shown_object: Json | None, now: datetime) -> Json:
    """Build one row; `shown_object` stands beside the cells, None leaves it out."""
    cells = [column.cell(body, now) for column in columns]
    return {"cells": cells, "object": shown_object} if shown_object else {"cells": cells}


def table(columns: list[Column], rows: list[Json], metadata: Json, *, with_columns: bool) -> Json:
    """Build a table; a watch names the columns in its first event only."""
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": definitions(columns) if with_columns else None,
        "rows": rows,
    }


def partial_metadata(body: Json) -> Json:
    """Return the object reduced to its metadata."""
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": body.get("metadata", {}),
    }


def custom_columns(resource_name: str, specs: list[Json]) -> tuple[Column, ...] | None:
    """Build the columns of a CRD version; None when it names none.

    Raises:
        BadManifest: a jsonPath cannot be understood; it names the CRD.
    """
    try:
        return tuple(printer_column(spec) for spec in specs) if specs else None
    except errors.BadManifest as problem:
        raise errors.BadManifest(
            subject=resource_name,
            field=problem.field,
            problem=problem.problem,
            remedy=problem.remedy,
        ) from problem
