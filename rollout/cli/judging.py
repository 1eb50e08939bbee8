"""The verb that judges recorded ticks by sequential statistics, as of an incident."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import typer

from rollout.analysis import recorded
from rollout.analysis.judge.ratio_gate import Promises
from rollout.analysis.judge.replay import replay
from rollout.api.evidence import Verdict
from rollout.base.errors import BadManifest
from rollout.cli import terminal
from rollout.cli.place import Place
from rollout.views import judged

FILE_BYTES_MAX = 64 * 2**20

STATUS = {Verdict.PASS: 0, Verdict.FAIL: 1, Verdict.UNKNOWN: 2}
BAD_INPUT_STATUS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the command line says, see `ratio_gate.Promises`."""

    tolerance_ratio: float
    false_rollback_percent: float
    proven_ratio: float
    false_promote_percent: float
    dispersion_factor: float


def judge(
    place: Place,
    file: Path,
    asked: Asked,
    *,
    steps_at: Sequence[int],
    base_percent: float | None,
) -> None:
    """``rollout judge``."""
    promises = Promises(
        tolerance_ratio=asked.tolerance_ratio,
        false_rollback_ratio=asked.false_rollback_percent / 100,
        proven_ratio=asked.proven_ratio,
        false_promote_ratio=asked.false_promote_percent / 100,
        dispersion_factor=asked.dispersion_factor,
    )
    reference_ratio = None if base_percent is None else base_percent / 100
    try:
        ticks = recorded.read(_lines(file), subject=str(file))
    except BadManifest as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(BAD_INPUT_STATUS) from None
    found = replay(ticks, promises, steps_at=steps_at, reference_ratio=reference_ratio)
    if place.output is not None:
        terminal.dump(judged.document(found, promises), place.output)
    else:
        terminal.show(judged.view(found, promises))
    raise typer.Exit(STATUS[found.finding.verdict])


def _lines(file: Path) -> list[str]:
    """The lines of a file, or of standard input for ``-``."""
    try:
        if str(file) == "-":
            data = typer.get_binary_stream("stdin").read(FILE_BYTES_MAX + 1)
        else:
            with file.open("rb") as opened:
                data = opened.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise BadManifest(
            field=str(file),
            problem=f"cannot be read ({error.strerror})",
            remedy="name a CSV file, or - for standard input",
        ) from error
    if len(data) > FILE_BYTES_MAX:
        raise BadManifest(
            field=str(file),
            problem=f"has more than {FILE_BYTES_MAX // 2**20} MiB",
            remedy="split the file, or use longer ticks",
        )
    return data.decode("utf-8-sig", errors="replace").splitlines()
