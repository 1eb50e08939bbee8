"""The verbs that command: set, promote, abort, pause, resume, retry, undo; what they share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import typer

from rollout.api import salvage
from rollout.api.action import ActionOutcome, Verb
from rollout.api.meta import ROLLOUT, ROLLOUT_ACTION, Manifest
from rollout.api.phase import Outcome, Phase
from rollout.api.status import PastRun, RolloutStatus, Run
from rollout.api.step import Strategy
from rollout.base import errors
from rollout.base.quantity import parse_duration
from rollout.cli.place import Place
from rollout.views import sentences, subject
from rollout.views.subject import Subject
from rollout.wiring.client import Client, Said

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """What a person says besides the verb.

    Attributes:
        run: the run that is meant; empty: the present one.
        step: the step that is meant; None: the present one.
        reason: why.
        timeout: how long to wait for the answer, a duration.
        dry_run: let the server judge it, and leave nothing behind.
    """

    run: str = ""
    step: int | None = None
    reason: str = ""
    timeout: str = "30s"
    dry_run: bool = False


def set_revision(place: Place, name: str, revision: str, words: Words) -> None:
    """``rollout set``."""
    asyncio.run(_set(place, name, revision, words))


async def _set(place: Place, name: str, revision: str, words: Words) -> None:
    async with place.open() as client:
        manifest = await client.rollout(name)
        seen = subject.read(manifest)
        changed = seen.revision != revision
        if changed:
            manifest = await client.set_revision(
                manifest, revision, reason=words.reason, dry_run=words.dry_run
            )
        if place.output is not None:
            _print_rollout(manifest, place)
        elif changed and words.dry_run:
            typer.echo(f"{name}: {revision} would be wanted instead of {seen.revision}{NOTHING}")
        elif changed:
            follow = sentences.typed(seen, "get", "--watch")
            typer.echo(f"{name}: {revision} is wanted instead of {seen.revision}")
            typer.echo(f"follow it with: {follow}")
        else:
            typer.echo(f"{name}: unchanged, {revision} is wanted already{_still(seen)}")


def _still(seen: Subject) -> str:
    """What a person who wants again what is wanted already may have meant."""
    if seen.status.rejected_revision and seen.status.rejected_revision == seen.revision:
        return f"; it was taken back, run it again with: {sentences.typed(seen, 'retry')}"
    return ""


def promote(place: Place, name: str, words: Words, *, full: bool) -> None:
    """``rollout promote``."""
    asyncio.run(command(place, name, Verb.PROMOTE_FULL if full else Verb.PROMOTE, words))


def pause(place: Place, name: str, words: Words) -> None:
    """``rollout pause``."""
    asyncio.run(command(place, name, Verb.PAUSE, words))


def resume(place: Place, name: str, words: Words) -> None:
    """``rollout resume``."""
    asyncio.run(command(place, name, Verb.RESUME, words))


def retry(place: Place, name: str, words: Words) -> None:
    """``rollout retry``."""
    asyncio.run(command(place, name, Verb.RETRY, words))


def abort(place: Place, name: str, words: Words) -> None:
    """``rollout abort``."""
    asyncio.run(_abort(place, name, words))


def undo(place: Place, name: str, words: Words) -> None:
    """``rollout undo``."""
    asyncio.run(_undo(place, name, words))


async def command(place: Place, name: str, verb: Verb, words: Words) -> None:
    """Give a command, and tell the answer."""
    async with place.open() as client:
        await give(client, await client.rollout(name), verb, words, place=place)


async def give(
    client: Client, manifest: Manifest, verb: Verb, words: Words, *, place: Place
) -> None:
    """Give a command to a Rollout that was just read, and tell the answer."""
    name = manifest["metadata"]["name"]
    said = await _say(client, manifest, verb, words)
    if words.dry_run:
        tell_trial(place, name, said)
    else:
        action = await _within(client.answer(said), said, words)
        _tell_answer(place, name, action, repeated=said.repeated)


NOTHING = "; nothing was written"
"""What is said after a dry run."""


def tell_trial(place: Place, name: str, said: Said) -> None:
    """Tell what a dry run has come to."""
    if place.output is not None:
        _print_action(said.action, place)
        return
    spec = said.action["spec"]
    where = f"run {spec['run']}" + (f", step {spec['step']}" if "step" in spec else "")
    if said.repeated:
        typer.echo(f"{name}: {spec['verb']} was said to {where} before; it would not be repeated")
    else:
        typer.echo(f"{name}: would say {spec['verb']} to {where} as {spec['actor']}{NOTHING}")


async def _say(client: Client, manifest: Manifest, verb: Verb, words: Words) -> Said:
    """Give the command to the run that is meant, or to the present one."""
    run = run_of(manifest, verb)
    names_step = verb in {Verb.PROMOTE, Verb.RESUME, Verb.APPROVE, Verb.REJECT}
    step = words.step if words.step is not None else run.step
    return await client.say(
        manifest,
        verb,
        run=words.run or run.id,
        step=step if names_step else None,
        reason=words.reason,
        dry_run=words.dry_run,
    )


def run_of(manifest: Manifest, verb: Verb) -> Run:
    """The present run, or the last one; a command to none is out of place."""
    seen = subject.read(manifest)
    found = salvage.read_status(manifest)
    if found.lost:
        raise errors.OutOfPlace(
            subject=str(seen.key),
            why=f"{found.problem}, so nobody knows what there is to {verb.lower()}",
            remedy=f"what to do says: {sentences.typed(seen, 'get')}",
        )
    if seen.run is None:
        raise errors.OutOfPlace(
            subject=str(seen.key),
            why=f"there has been no run yet, so there is nothing to {verb.lower()}",
            remedy=f"start one with: {sentences.typed(seen, 'set', 'REVISION')}",
        )
    return seen.run


async def _within(waiting: Awaitable[T], said: Said, words: Words) -> T:
    """Wait for as long as the person wants to."""
    seconds = parse_duration(words.timeout)
    try:
        async with asyncio.timeout(seconds):
            return await waiting
    except TimeoutError:
        raise errors.Unanswered(
            what=f"RolloutAction {said.key}",
            waited_seconds=seconds,
            remedy="it stands, and is obeyed once a controller runs; is one running?",
        ) from None


def _tell_answer(place: Place, name: str, action: Manifest, *, repeated: bool) -> None:
    if place.output is not None:
        _print_action(action, place)
    outcome, message = action["status"]["outcome"], action["status"].get("message", "")
    if outcome == ActionOutcome.REFUSED:
        raise errors.OutOfPlace(subject=name, why=f"refused: {message}")
    if place.output is None:
        how = "nothing done, " if outcome == ActionOutcome.IGNORED else ""
        again = " (said before)" if repeated else ""
        typer.echo(f"{name}: {how}{message}{again}")


def _print_action(action: Manifest, place: Place) -> None:
    from rollout.cli import terminal  # noqa: PLC0415 - rich is not needed to say one sentence

    assert place.output is not None
    terminal.an_object(action, ROLLOUT_ACTION, place.output)


def _print_rollout(manifest: Manifest, place: Place) -> None:
    from rollout.cli import terminal  # noqa: PLC0415 - rich is not needed to say one sentence

    assert place.output is not None
    terminal.an_object(manifest, ROLLOUT, place.output)


# Abort.


async def _abort(place: Place, name: str, words: Words) -> None:
    async with place.open() as client:
        manifest = await client.rollout(name)
        run = run_of(manifest, Verb.ABORT)
        begun = client.clock.monotonic_seconds()
        said = await _say(client, manifest, Verb.ABORT, words)
        if words.dry_run:
            tell_trial(place, name, said)
            return
        action, seconds = await _within(_gone(client, manifest, said, begun=begun), said, words)
        outcome = action["status"]["outcome"]
        if place.output is not None or outcome != ActionOutcome.APPLIED:
            _tell_answer(place, name, action, repeated=said.repeated)
            return
        took = "" if said.repeated else f", {seconds:.2f} s after the command"
        typer.echo(f"{name}: {run.canary_revision} gets no traffic any more{took}")


async def _gone(
    client: Client, manifest: Manifest, said: Said, *, begun: float
) -> tuple[Manifest, float]:
    """The answer, and after how many seconds the canary's weight was 0.

    Both are waited for at once, so that what is told is the time of the traffic, not of the talk.
    """
    run_id = said.action["spec"]["run"]

    def has_left(status: RolloutStatus) -> bool:
        run = status.run
        return run is None or run.id != run_id or (run.ending is not None and run.weight == 0)

    async def leave() -> float:
        await client.until(manifest, has_left)
        return client.clock.monotonic_seconds() - begun

    async with asyncio.TaskGroup() as tasks:
        leaving = tasks.create_task(leave())
        action = await client.answer(said)
        if action["status"]["outcome"] != ActionOutcome.APPLIED:
            leaving.cancel()
            return action, 0.0
    return action, leaving.result()


# Undo.


async def _undo(place: Place, name: str, words: Words) -> None:
    async with place.open() as client:
        manifest = await client.rollout(name)
        seen = subject.read(manifest)
        past = _last_change(seen)
        back = past.stable_revision
        recent = _is_recent(seen, past, client)
        manifest = await client.set_revision(
            manifest, back, reason=words.reason or "undo", dry_run=words.dry_run
        )
        if place.output is None:
            goes, end = ("would go", NOTHING) if words.dry_run else ("goes", "")
            way = _by(recent, past)
            typer.echo(f"{name}: {goes} back from {past.revision} to {back}, {way}{end}")
        if recent and not words.dry_run:
            try:
                await _at_once(client, manifest, place, words)
            except errors.OutOfPlace as refused:
                remedy = refused.remedy or "so it goes by the ladder"
                raise errors.OutOfPlace(
                    subject=refused.subject, why=refused.why, remedy=remedy
                ) from refused
        elif place.output is not None:
            _print_rollout(manifest, place)


def _last_change(seen: Subject) -> PastRun:
    """The run that made the present revision stable."""
    run = seen.active
    if run is not None:
        raise errors.OutOfPlace(
            subject=str(seen.key),
            why=f"{run.canary_revision} is on trial and {run.stable_revision} still stable",
            remedy=f"take the trial back with: {sentences.typed(seen, 'abort')}",
        )
    present = seen.status.stable_revision
    if seen.status.phase is Phase.ROLLED_BACK:
        raise errors.OutOfPlace(
            subject=str(seen.key),
            why=f"{seen.revision} was taken back already and {present} is live",
            remedy=f"to leave that, too, name another: {sentences.typed(seen, 'set', 'REVISION')}",
        )
    for past in seen.status.history:
        if past.outcome is Outcome.PROMOTED and past.stable_revision not in {"", present}:
            return past
    raise errors.OutOfPlace(
        subject=str(seen.key),
        why=f"its history knows no revision that was stable before {present or 'the present one'}",
        remedy=f"name one with: {sentences.typed(seen, 'set', 'REVISION')}",
    )


def _is_recent(seen: Subject, past: PastRun, client: Client) -> bool:
    """Whether the earlier revision was stable so lately that the ladder may be skipped."""
    strategy = seen.run.plan.strategy if seen.run is not None else Strategy()
    window = timedelta(seconds=parse_duration(strategy.undo_window))
    return client.clock.now() - past.ended_at <= window


def _by(recent: bool, past: PastRun) -> str:  # noqa: FBT001 - one private use
    if recent:
        return f"at once: it was stable until {sentences.clock(past.ended_at)}"
    return "by the ladder: it has not been stable within strategy.undoWindow"


async def _at_once(client: Client, manifest: Manifest, place: Place, words: Words) -> None:
    """Wait for the run that the new revision starts, and send it straight to 100 percent."""
    name, revision = manifest["metadata"]["name"], manifest["spec"]["revision"]

    def has_begun(status: RolloutStatus) -> bool:
        run = status.run
        if run is not None and run.ended_at is None:
            return bool(run.canary_revision == revision)
        return status.closed is not None

    seconds = parse_duration(words.timeout)
    try:
        async with asyncio.timeout(seconds):
            begun = await client.until(manifest, has_begun)
            if begun is None:
                raise errors.UnknownName(what=f"Rollout {name}", remedy="it was deleted meanwhile")
            _must_be_open(begun)
            said = await _say(client, begun, Verb.PROMOTE_FULL, words)
            action = await client.answer(said)
    except TimeoutError:
        raise errors.Unanswered(
            what=f"the run of {name} to {revision}",
            waited_seconds=seconds,
            remedy=f"see `rollout why {name}`; without more it goes by the ladder",
        ) from None
    _tell_answer(place, name, action, repeated=said.repeated)


def _must_be_open(manifest: Manifest) -> None:
    """Nobody waits for a run that may not start now.

    Raises:
        OutOfPlace: it may not.
    """
    seen = subject.read(manifest)
    if seen.active is None and seen.status.closed is not None:
        raise errors.OutOfPlace(
            subject=str(seen.key),
            why=f"{seen.revision} is wanted, and does not start: {seen.status.closed.because}",
            remedy="it goes by the ladder when it may",
        )
