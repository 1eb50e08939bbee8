"""What a schema cannot say of a query: bounds that decide, and a range that leaves them room."""

from __future__ import annotations

from collections.abc import Iterator

from rollout.api.gate import Query, Range, beyond_range
from rollout.base.errors import BadManifest


def problems(path: str, query: Query) -> Iterator[BadManifest]:
    """What is wrong with the query of a gate at a path of the spec."""
    low, high = query.min, query.max
    if low is None and high is None:
        yield _wrong(path, "has no bound", "give min, max or both")
    if low is not None and high is not None and low > high:
        yield _wrong(f"{path}.min", f"{low:g} is above max {high:g}", "swap the two")
    if query.decide == "Threshold":
        for field in ("range", "block"):
            if getattr(query, field) is not None:
                remedy = "remove it, or remove `decide`"
                yield _wrong(f"{path}.{field}", "means nothing where a threshold decides", remedy)
    elif query.range is not None:
        yield from _range_has_room(path, query, query.range)


def _range_has_room(path: str, query: Query, span: Range) -> Iterator[BadManifest]:
    """A bound at or beyond the end of the range can never be exceeded, or always is."""
    if span.low >= span.high:
        yield _wrong(f"{path}.range.low", f"{span.low:g} is not below high", "swap the two")
        return
    if query.relative_to is not None and span.low < 0:
        problem = "is below 0, where times as much as stable is not what it says"
        yield _wrong(f"{path}.range.low", problem, "use 0 or more, or leave out relativeTo")
        return
    for field in ("min", "max"):
        bound: float | None = getattr(query, field)
        if bound is None:
            continue
        relative = query.relative_to is not None
        least, most = beyond_range(bound, span, is_max=field == "max", relative=relative)
        if not least < 0 < most:
            problem = f"{bound:g} never decides, with numbers from {span.low:g} to {span.high:g}"
            yield _wrong(f"{path}.{field}", problem, "use another, or another range")


def _wrong(field: str, problem: str, remedy: str) -> BadManifest:
    return BadManifest(field=field, problem=problem, remedy=remedy)
