"""A run's own queries, filled in, and what Prometheus answered to each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from rollout.analysis import query
from rollout.analysis.gauge import Told
from rollout.analysis.query import Variables
from rollout.analysis.sample import NoAnswer
from rollout.analysis.verdict import GateKind, GateQuestion
from rollout.api.meta import Key
from rollout.api.status import Run
from rollout.base.hosts import fqdn
from rollout.controller.asking import Document
from rollout.controller.sight import Own
from rollout.engine import plan as plans

STABLE, ITSELF, BETWEEN = "stable", "itself", "between"
"""Ends the names of the answers to the further queries of a gate, see `Told`."""


def fill(
    question: GateQuestion, key: Key, run: Run, *, now: datetime, ends_ms: Sequence[int]
) -> dict[str, Own]:
    """The queries to ask for one gate, by the names that the answers will have.

    ``ends_ms`` are the ends of the blocks to ask about, where evidence decides.

    Raises:
        BadManifest: a value needs quotes where the query has none.
    """
    if question.kind is not GateKind.QUERY:
        return {}
    window_seconds = (now - run.step_started_at).total_seconds()
    if question.block_ms is not None:
        window_seconds = question.block_ms / 1000
    variables = Variables(
        window=f"{max(1, round(window_seconds))}s",
        revision=run.canary_revision,
        stable=run.stable_revision,
        canary=run.canary_revision,
        host=fqdn(run.plan.host, namespace=key.namespace),
        namespace=key.namespace,
        weight=f"{run.weight:g}",
        step=str(run.step),
        name=key.name,
    )
    texts: dict[str, str] = {}
    if question.relative_to_stable:
        texts[""], texts[STABLE] = query.render_pair(question.promql, variables)
    else:
        texts[""] = query.render(question.promql, variables)
    if run.weight >= plans.FULL_PERCENT:
        # Nothing goes to stable any more: is it that, when the query finds nothing?
        alone = query.render_itself(question.promql, variables)
        if alone is not None:
            texts[ITSELF], texts[BETWEEN] = alone
    times: Sequence[int | None] = ends_ms
    if question.block_ms is None:
        times = (None,)
    elif run.retreated:
        times = ()  # nothing goes to the canary
    return {
        _name(question, part, at_ms): Own(text=text, at_ms=at_ms)
        for at_ms in times
        for part, text in texts.items()
    }


def told(
    question: GateQuestion, documents: Mapping[str, Document | NoAnswer], *, end_ms: int | None
) -> Told | None:
    """What was answered about one gate; None: nothing yet."""
    found = {
        part: documents.get(_name(question, part, end_ms)) for part in ("", STABLE, ITSELF, BETWEEN)
    }
    about = found[""]
    if about is None:
        return None
    return Told(about=about, stable=found[STABLE], itself=found[ITSELF], between=found[BETWEEN])


def _name(question: GateQuestion, part: str, end_ms: int | None) -> str:
    when = "" if question.block_ms is None else f"@{end_ms}"
    return f"{question.name}{when}/{part}"
