"""approve and reject: what is decided is shown before, and who else may is said when refused."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import typer

from rollout.api.action import Verb
from rollout.api.meta import Manifest
from rollout.api.status import Run
from rollout.base import errors
from rollout.cli import commanding, terminal
from rollout.cli.commanding import Words
from rollout.cli.place import Place
from rollout.engine import approvals
from rollout.views import card, sentences, subject
from rollout.views.subject import Subject
from rollout.wiring.client import Client

QUESTION = "Why? Everybody who follows the run reads it"


def approve(place: Place, name: str, words: Words) -> None:
    """``rollout approve``."""
    asyncio.run(_decide(place, name, Verb.APPROVE, words))


def reject(place: Place, name: str, words: Words) -> None:
    """``rollout reject``; asks for a reason where somebody sits at a terminal."""
    if words.reason.strip():
        asyncio.run(_decide(place, name, Verb.REJECT, words))
        return
    ask = place.ask
    if ask is None:
        sentence = 'a rejection says why; add --reason "..."'
        raise typer.BadParameter(sentence)
    # What is seen is what is rejected, however long the answer takes.
    run = asyncio.run(_look(place, name, words))
    words = replace(words, run=run.id, step=run.step, reason=ask(QUESTION))
    asyncio.run(_decide(place, name, Verb.REJECT, words, shown=True))


async def _look(place: Place, name: str, words: Words) -> Run:
    async with place.open() as client:
        manifest = await client.rollout(name)
        run = _meant(manifest, Verb.REJECT, words)
        if place.output is None:
            _show(client, manifest, run, words)
        meant = {"id": words.run or run.id, "step": run.step if words.step is None else words.step}
        return run.model_copy(update=meant)


async def _decide(
    place: Place, name: str, verb: Verb, words: Words, *, shown: bool = False
) -> None:
    async with place.open() as client:
        manifest = await client.rollout(name)
        run = _meant(manifest, verb, words)
        if not shown and place.output is None:
            _show(client, manifest, run, words)
        try:
            await commanding.give(client, manifest, verb, words, place=place)
        except errors.OutOfPlace as refused:
            raise _with_others(refused, run) from refused


def _meant(manifest: Manifest, verb: Verb, words: Words) -> Run:
    """The run; whoever names neither run nor step means an approval that is waited for now."""
    run, seen = commanding.run_of(manifest, verb), subject.read(manifest)
    if not words.run and words.step is None:
        why, remedy = _nothing_asked(seen, run)
        if why:
            raise errors.OutOfPlace(subject=str(seen.key), why=why, remedy=remedy)
    return run


def _nothing_asked(seen: Subject, run: Run) -> tuple[str, str]:
    """Why there is nothing to decide, and what to look at; empty: there is."""
    if run.ended_at is not None:
        return f"run {run.id} is over", f"how it ended says: {sentences.typed(seen, 'history')}"
    if approvals.asked_at(run.plan, run.step) is not None:
        return "", ""
    ahead = approvals.ahead(run)
    later = f" (step {ahead[0]} will)" if ahead else ""
    why = f"step {run.step} of {run.step_count} asks for no approval{later}"
    return why, f"what it waits for says: {sentences.typed(seen, 'why')}"


def _show(client: Client, manifest: Manifest, run: Run, words: Words) -> None:
    """What is decided; if what is meant does not wait for a decision the answer will say so."""
    other = words.run not in {"", run.id} or words.step not in {None, run.step}
    if other or run.ended_at is not None or approvals.asked_at(run.plan, run.step) is None:
        return
    glyphs = terminal.glyphs(terminal.console())
    seen = subject.read(manifest)
    terminal.show(card.matter(seen, run, now=client.clock.now(), glyphs=glyphs))


def _with_others(refused: errors.OutOfPlace, run: Run) -> errors.OutOfPlace:
    """The same error, with those who may, unless it names them already."""
    asked = approvals.asked_at(run.plan, run.step)
    named = "" if asked is None else approvals.people(asked.approvers)
    if not named or named in refused.why:
        return refused
    others = f"step {run.step} waits for {named}"
    remedy = f"{refused.remedy}; {others}" if refused.remedy else others
    return errors.OutOfPlace(subject=refused.subject, why=refused.why, remedy=remedy)
