"""How the demo is shown: a live screen, plain lines, or nothing at all."""

from __future__ import annotations

import itertools
import re
from collections import deque
from collections.abc import Sequence
from datetime import datetime
from io import StringIO
from pathlib import Path
from typing import Protocol

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console, RenderableType
from rich.live import Live

from rollout.ports import Clock
from rollout.views import measure
from rollout.views import screen as screens
from rollout.views.glyphs import ASCII, UNICODE, Glyphs
from rollout.views.screen import Scene, VersionRow
from rollout.wiring.demo_play import Play
from rollout.wiring.demo_record import Record

FRAME_SECONDS = 0.25
"""Four frames a second: a frame takes a few milliseconds of the loop that also takes the time."""

RECENT_SECONDS = 2.0
"""What "now" means for rates and shares."""


class Show(Protocol):
    """Where the demo is shown."""

    def tell(self, text: str) -> None:
        """Say something before or after the play."""
        ...

    def note(self, at: datetime, text: str) -> None:
        """Something happened in the play."""
        ...

    def begin(self) -> None:
        """The curtain rises."""
        ...

    def draw(self, scene: Scene) -> None:
        """Show the present moment."""
        ...

    def end(self) -> None:
        """The curtain falls; the last picture stays."""
        ...

    def print(self, view: RenderableType) -> None:
        """Print something for people after the play."""
        ...


class Quiet:
    """Shows nothing: somebody reads the summary alone."""

    def tell(self, text: str) -> None:
        """Nothing."""

    def note(self, at: datetime, text: str) -> None:
        """Nothing."""

    def begin(self) -> None:
        """Nothing."""

    def draw(self, scene: Scene) -> None:
        """Nothing."""

    def end(self) -> None:
        """Nothing."""

    def print(self, view: RenderableType) -> None:
        """Nothing."""


class Lines:
    """A line for each thing that happens: for pipes, logs and small terminals."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def tell(self, text: str) -> None:
        """One line."""
        self._console.print(text, soft_wrap=True)

    def note(self, at: datetime, text: str) -> None:
        """One line with its time."""
        self._console.print(f"{at:%H:%M:%S}  {text}", soft_wrap=True)

    def begin(self) -> None:
        """Nothing to set up."""

    def draw(self, scene: Scene) -> None:
        """Moments are not shown; what happens is."""

    def end(self) -> None:
        """Nothing to take down."""

    def print(self, view: RenderableType) -> None:
        """As it is."""
        self._console.print(view, soft_wrap=True)


class Screen(Lines):
    """One screen that is drawn again and again."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        width, height = min(console.width, screens.WIDTH), min(console.height - 1, screens.HEIGHT)
        self._frame = Console(
            width=width, height=height, highlight=False, file=console.file, force_terminal=True
        )
        self._live = Live(console=self._frame, auto_refresh=False)
        self._glyphs = glyphs(console)

    def note(self, at: datetime, text: str) -> None:
        """The screen has a log of its own."""

    def begin(self) -> None:
        """Take the terminal."""
        self._live.start()

    def draw(self, scene: Scene) -> None:
        """The next frame."""
        view = screens.screen(
            scene, width=self._frame.width, height=self._frame.height, glyphs=self._glyphs
        )
        self._live.update(view, refresh=True)

    def end(self) -> None:
        """Leave the last frame where it is."""
        self._live.stop()


def show_for(console: Console, *, quiet: bool) -> Show:
    """What fits where we are shown."""
    if quiet:
        return Quiet()
    large = console.height > screens.HEIGHT_MIN and console.width >= screens.WIDTH_MIN
    return Screen(console) if console.is_terminal and large else Lines(console)


def glyphs(console: Console) -> Glyphs:
    """What the terminal can show."""
    return UNICODE if console.encoding.startswith("utf") else ASCII


def save_svg(scene: Scene, path: Path) -> None:
    """The screen at its largest, as a picture."""
    console = Console(
        record=True,
        width=screens.WIDTH,
        height=screens.HEIGHT,
        file=StringIO(),
        force_terminal=True,
        color_system="truecolor",
        highlight=False,
    )
    view = screens.screen(scene, width=screens.WIDTH, height=screens.HEIGHT, glyphs=UNICODE)
    console.print(view)
    # The picture stands for itself: no fonts from elsewhere, whatever the viewer has will do.
    form = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    path.write_text(console.export_svg(title="rollout demo", code_format=form))


class Camera:
    """Makes scenes of the record, and keeps what the lines over time need."""

    def __init__(
        self, record: Record, play: Play, clock: Clock, *, versions: Sequence[str], hint: str
    ) -> None:
        self.hint = hint
        self._record = record
        self._play = play
        self._clock = clock
        self._versions = versions
        self._begun = clock.monotonic_seconds()
        self._written: deque[float] = deque(maxlen=screens.LINE_WIDTH)
        self._observed: deque[float] = deque(maxlen=screens.LINE_WIDTH)
        self._second = -1

    async def roll(self, show: Show) -> None:
        """Show a frame several times a second until cancelled."""
        for _ in itertools.count():
            show.draw(self.scene())
            await self._clock.sleep(FRAME_SECONDS)

    def scene(self) -> Scene:
        """The present moment."""
        record, canary = self._record, self._play.present.canary
        now = record.now_seconds
        samples = [one for one in _newest(record) if one.at_seconds >= now - RECENT_SECONDS]
        written = record.weight(canary)
        observed = measure.shares(samples, version=canary, seconds=RECENT_SECONDS, until=now)
        if int(now) != self._second:
            self._second = int(now)
            self._written.append(written)
            self._observed.append(observed or 0.0)
        return Scene(
            now=self._clock.now(),
            elapsed_seconds=self._clock.monotonic_seconds() - self._begun,
            rate_hertz=record.rate_hertz,
            acts=tuple(self._play.acts),
            subject=record.subject,
            written_percent=written,
            observed_percent=observed,
            written_line=tuple(self._written),
            observed_line=tuple(self._observed),
            versions=tuple(self._row(name, samples) for name in self._versions),
            log=tuple(record.log),
            hint=self.hint,
        )

    def _row(self, name: str, samples: Sequence[measure.Sample]) -> VersionRow:
        act = self._play.present
        role = {act.stable: "stable", act.canary: "canary"}.get(name, "")
        if not samples:
            return VersionRow(
                name=name, role=role, rate_hertz=0, requests=0, failures=0, failing_percent=None
            )
        first, last = samples[0], samples[-1]
        seconds = last.at_seconds - first.at_seconds
        answers = last.answers.get(name, 0) - first.answers.get(name, 0)
        failures = last.failures.get(name, 0) - first.failures.get(name, 0)
        return VersionRow(
            name=name,
            role=role,
            rate_hertz=answers / seconds if seconds else 0.0,
            requests=last.answers.get(name, 0),
            failures=last.failures.get(name, 0),
            failing_percent=100 * failures / answers if answers else None,
        )


def _newest(record: Record) -> list[measure.Sample]:
    """The newest samples, oldest first; enough for what "now" means."""
    return list(itertools.islice(reversed(record.samples), 20))[::-1]
