"""The queries of a run's own gates, filled in, by the names that their answers will have."""

from __future__ import annotations

from datetime import datetime

from rollout.analysis import query
from rollout.analysis.query import Variables
from rollout.analysis.verdict import GateKind, GateQuestion
from rollout.api.meta import Key
from rollout.api.status import Run
from rollout.base.hosts import fqdn
from rollout.engine import plan as plans


def fill(question: GateQuestion, key: Key, run: Run, *, now: datetime) -> dict[str, str]:
    """The texts to ask for one gate, by the names that the answers will have.

    Raises:
        BadManifest: a value needs quotes where the query has none.
    """
    if question.kind is not GateKind.QUERY:
        return {}
    variables = Variables(
        window=f"{max(1, round((now - run.step_started_at).total_seconds()))}s",
        revision=run.canary_revision,
        stable=run.stable_revision,
        canary=run.canary_revision,
        host=fqdn(run.plan.host, namespace=key.namespace),
        namespace=key.namespace,
        weight=f"{run.weight:g}",
        step=str(run.step),
        name=key.name,
    )
    if question.relative_to_stable:
        canary, stable = query.render_pair(question.promql, variables)
        texts = {question.name: canary, about_stable(question): stable}
    else:
        texts = {question.name: query.render(question.promql, variables)}
    if run.weight >= plans.FULL_PERCENT:
        # Nothing goes to stable any more: is it that, when the query finds nothing?
        alone = query.render_itself(question.promql, variables)
        if alone is not None:
            texts[about_itself(question)], texts[about_stable_itself(question)] = alone
    return texts


def about_stable(question: GateQuestion) -> str:
    """The name of the answer about the stable revision."""
    return f"{question.name}/stable"


def about_itself(question: GateQuestion) -> str:
    """The name of the answer with the canary also in the place of the stable revision."""
    return f"{question.name}/itself"


def about_stable_itself(question: GateQuestion) -> str:
    """The name of the answer with the stable revision also in the place of the canary."""
    return f"{question.name}/stable itself"
