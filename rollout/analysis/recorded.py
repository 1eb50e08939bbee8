"""Reads recorded ticks from CSV: what a gate would have seen, one scrape interval a line."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence

from rollout.analysis.judge.ratio import Counts
from rollout.base.errors import BadManifest

COLUMNS = ("canary_requests", "stable_requests", "canary_bad", "stable_bad")
"""The columns, in any order; others are passed over."""

TICKS_COUNT_MAX = 1_000_000
"""Half a year of ticks of 15 seconds."""

COUNT_MAX = 10**15
"""Of one tick: a float still tells such numbers apart."""


def read(lines: Sequence[str], *, subject: str) -> tuple[Counts, ...]:
    """Ticks from the lines of a CSV file with a header; empty lines are passed over.

    Args:
        lines: the file's lines.
        subject: what sentences call the file.

    Raises:
        BadManifest: a column is missing, a number is none, there are more bad requests than
            requests, or more than `TICKS_COUNT_MAX` ticks; names line, column and remedy.
    """
    return tuple(_ticks(lines, subject=subject))


def _ticks(lines: Sequence[str], *, subject: str) -> Iterator[Counts]:
    rows = _Rows(lines, subject=subject)
    header = [name.strip() for name in next(rows, [])]
    places = [_place(header, name, subject=subject) for name in COLUMNS]
    count = 0
    for row in rows:
        if not any(cell.strip() for cell in row):
            continue
        count += 1
        if count > TICKS_COUNT_MAX:
            raise BadManifest(
                subject=subject,
                field=f"line {rows.line_num}",
                problem=f"is beyond {TICKS_COUNT_MAX:,} ticks",
                remedy="split the file, or use longer ticks",
            )
        where = f"line {rows.line_num}"
        values = [
            _number(row, place, field=f"{where} column {name}", subject=subject)
            for place, name in zip(places, COLUMNS, strict=True)
        ]
        tick = Counts(*values)
        for arm, bad, requests in (
            ("canary", tick.canary_failures, tick.canary_requests),
            ("stable", tick.stable_failures, tick.stable_requests),
        ):
            if bad > requests:
                raise BadManifest(
                    subject=subject,
                    field=f"{where} column {arm}_bad",
                    problem=f"is {bad:,}, more than the {requests:,} of {arm}_requests",
                    remedy="count bad requests among the requests of the same tick",
                )
        yield tick


class _Rows:
    """The rows of a CSV file, with the number of the line that each ends on."""

    def __init__(self, lines: Sequence[str], *, subject: str) -> None:
        self._reader = csv.reader(lines)
        self._subject = subject

    @property
    def line_num(self) -> int:
        """Of the last row that was read, from 1."""
        return self._reader.line_num

    def __iter__(self) -> Iterator[list[str]]:
        return self

    def __next__(self) -> list[str]:
        try:
            return next(self._reader)
        except csv.Error as error:
            raise BadManifest(
                subject=self._subject,
                field=f"line {self._reader.line_num}",
                problem=f"is no CSV ({error})",
                remedy="write plain numbers with commas between them",
            ) from error


def _place(header: Sequence[str], name: str, *, subject: str) -> int:
    if name in header:
        return header.index(name)
    there = ", ".join(header) if any(header) else "nothing"
    raise BadManifest(
        subject=subject,
        field="line 1",
        problem=f"has no column {name}",
        remedy=f"begin the file with the line {','.join(COLUMNS)}; there is {there}",
    )


def _number(row: Sequence[str], place: int, *, field: str, subject: str) -> int:
    text = row[place].strip() if place < len(row) else ""
    if text.isascii() and text.isdecimal() and len(text) <= len(str(COUNT_MAX)):
        return int(text)
    raise BadManifest(
        subject=subject,
        field=field,
        problem=f"is {text[:40]!r}" if text else "is empty",
        remedy=f"make it a whole number from 0 to {COUNT_MAX:,}",
    )
