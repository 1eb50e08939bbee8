"""What the cluster contract says at the end: how many cases both API servers have passed."""

from __future__ import annotations

import pytest

REAL_ONLY = {
    "CEL rules of our CRDs (tests/testbed/test_controlplane.py)": "the sandbox has no CEL",
    "RBAC (tests/testbed/test_rights.py)": "everything is allowed in the sandbox",
    "who commands (tests/people)": "the sandbox has no admission policies",
    "Istio's webhook (tests/mesh)": "the sandbox calls no webhooks",
}
"""What no case states of both, by design."""


def tell(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many common cases each API server has passed, and what only the real one has."""
    passed = [
        str(one.nodeid) for one in terminalreporter.getreports("passed") if one.when == "call"
    ]
    cases = [one for one in passed if "test_cluster_contract" in one]
    real = sum("kube-apiserver" in one for one in cases)
    counts = {"sandbox": len(cases) - real, "kube-apiserver": real}
    told = [f"{count} common cases passed on {where}" for where, count in counts.items() if count]
    if told:
        terminalreporter.write_line(f"cluster contract: {', '.join(told)}")
    if real:
        for name, why in REAL_ONLY.items():
            terminalreporter.write_line(f"  only on kube-apiserver: {name}: {why}")
