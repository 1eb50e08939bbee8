"""What must be proved before a canary gets everything: that it is no regression of some size."""

from __future__ import annotations

import math
from dataclasses import dataclass

from rollout.analysis.judge import absolute
from rollout.analysis.judge.case import Case
from rollout.analysis.judge.mixture import log_mix
from rollout.analysis.judge.planning import proof_speed
from rollout.analysis.judge.ratio import Counts, RatioEvidence, is_calm
from rollout.analysis.verdict import GateKind
from rollout.base.quantity import print_duration, print_percent

FINE_PERCENT = 1.0
"""Bad requests below which a canary is fine by itself, where the gate names no percentage and no
bad request of stable's is known: then there is nothing to compare."""

_NEWEST_TICKS = 3
"""Ticks that tell how the world is now."""

_TIMES_MAX = 2.0**20
"""How many times the traffic so far is looked ahead; more is not said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """Whether the regression is ruled out.

    Attributes:
        holds: it is.
        is_hindered: more of the present traffic proves nothing.
        told: that, or what is missing, in words that follow the numbers.
    """

    holds: bool
    told: str
    is_hindered: bool = False


def proved(case: Case) -> Proof:
    """Whether a regression of ``proven_ratio`` is ruled out, or the canary is fine by itself.

    ½·E'_ratio + ½·E'_absolute ≥ 1/α', where the absolute bound is ``proven_ratio`` times what is
    usual: a canary that is above both passes with probability α' at most (exact for independent
    requests, and as right as the usual fraction is known). Where no bad request of stable's is
    known at all the bound is the gate's own, or `FINE_PERCENT`.
    """
    ratio, needed = case.gate.proven_ratio or math.inf, -math.log(case.gate.false_promote_ratio)
    nats = _nats(case, times=1)
    less, is_compared = f"less than {ratio:g} times stable", True
    if case.gate.kind is GateKind.TCP or _is_spotless(case):
        less, is_compared = f"less than {print_percent(_fine_percent(case))} %", False
    if nats >= needed:
        if is_compared and _compared_nats(case, times=1) < needed:
            usual = print_percent(float(f"{_fine_percent(case):.2g}"))
            less = f"less than {usual} %, {ratio:g} times the usual,"
        sure = print_percent(100 * (1 - case.gate.false_promote_ratio))
        return Proof(holds=True, told=f"{less} at {sure} % confidence")
    if _is_ill(case):
        told = "both are bad far more often than usual: until that is over nothing is proved"
        return Proof(holds=False, told=told, is_hindered=True)
    eta_seconds = _eta_seconds(case, needed=needed)
    if eta_seconds is None:
        return Proof(holds=False, told=f"{less} is not proved yet")
    eta = print_duration(eta_seconds)
    return Proof(holds=False, told=f"needs about {eta} more at this traffic to prove {less}")


def _is_ill(case: Case) -> bool:
    """Whether the newest ticks are not calm: both revisions suffer from something else."""
    rows = [row[1:] for row in case.ledger.open[-_NEWEST_TICKS:]]
    newest = Counts(*(sum(column) for column in zip(*rows, strict=True))) if rows else None
    if newest is None or not newest.stable_requests:
        return False
    reference = case.terms.reference_ratio
    usual = case.state.usual_ratio if reference is None else reference
    phi = case.terms.promises.dispersion_factor
    return not is_calm(newest.requests, newest.bad, reference_ratio=usual, dispersion=phi)


def _nats(case: Case, *, times: float) -> float:
    """Logarithm of the evidence, had there been so many times as much of everything so far."""
    phi = case.terms.promises.dispersion_factor
    requests, bad = case.state.canary
    alone = absolute.log_evidence_below(
        requests=round(times * requests),
        bad=round(times * bad),
        bound=_fine_percent(case) / 100,
        dispersion=phi,
    )
    if case.gate.kind is GateKind.TCP:
        return alone
    return log_mix([(0.5, _compared_nats(case, times=times)), (0.5, alone)])


def _compared_nats(case: Case, *, times: float) -> float:
    """The half of it that compares with the stable revision."""
    known = case.state.proof
    logs = tuple(times * one for one in known.logs)
    compared = RatioEvidence(null_ratio=known.null_ratio, steps=known.steps, logs=logs)
    return compared.log_evidence(dispersion=case.terms.promises.dispersion_factor)


def _is_spotless(case: Case) -> bool:
    """Whether no bad request of the stable revision is known, from before the run or in it."""
    return case.terms.is_spotless and not case.state.stable[1]


def _fine_percent(case: Case) -> float:
    """The bound below which a canary is fine by itself."""
    limit = case.gate.max_percent
    own = FINE_PERCENT if limit is None or limit >= 100 else max(limit, 1e-6)
    if case.gate.kind is GateKind.TCP or _is_spotless(case):
        return own
    reference = case.terms.reference_ratio
    usual_ratio = case.state.usual_ratio if reference is None else reference
    proven = case.gate.proven_ratio or case.terms.promises.proven_ratio
    return min(99.0, 100 * proven * usual_ratio)


def _eta_seconds(case: Case, *, needed: float) -> int | None:
    """How long until the proof, if all goes on as in this step; None: it cannot be told.

    Approximate: what is known of the stable arm's rate, the canary's share and the traffic is taken
    for true, and the canary for as good as stable.
    """
    elapsed, context = case.context.elapsed_seconds, case.context
    canary, stable = case.canary.requests, case.stable.requests
    if elapsed <= 0 or not canary or context.weight_percent <= 0:
        return None
    phi, rate = case.terms.promises.dispersion_factor, canary / elapsed
    found = []
    requests, bad = case.state.stable
    if case.gate.kind is not GateKind.TCP and bad and stable and case.gate.proven_ratio:
        speed = proof_speed(case.gate.proven_ratio, share=canary / (canary + stable))
        known = max(0.0, case.state.proof.log_evidence(dispersion=phi))
        missing = needed + math.log(2) - known
        found.append(phi * missing / (rate * bad / requests * speed))
    times = 2.0
    while times <= _TIMES_MAX and _nats(case, times=times) < needed:
        times *= 2
    if times <= _TIMES_MAX and case.state.canary[0]:
        found.append((times - 1) * case.state.canary[0] / rate)
    return math.ceil(min(found)) if found and min(found) > 0 else None
