"""How bursty bad requests are: what a gate needs more of where they come in clusters.

Stable pods run the same code, so what they differ by beyond chance is dispersion.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

BLOCK_TICKS = (1, 4, 20, 40, 80)
"""Lengths of blocks, in ticks. Long ones catch slow noise, and weigh a block with a thousand bad
requests above one with a single one: the largest estimate of all lengths is taken."""


def of_blocks(
    bad: Sequence[Sequence[int]], requests: Sequence[Sequence[int]], *, block_ticks: int
) -> float | None:
    """The dispersion that blocks of one length show.

    φ_b = Σ_blocks Σ_pods (y - e)²/e ÷ (blocks·(pods - 1)), where e = (the block's bad requests)·
    (the pod's share of its requests), over whole blocks with at least one bad request.

    Args:
        bad: per tick, bad requests of each pod.
        requests: likewise, all requests.
        block_ticks: the length of a block.

    Returns:
        None with fewer than two pods, or no block with a bad request. Approximate: it is 1 on
        average for independent requests.
    """
    blocks = (
        [
            (
                sum(tick[pod] for tick in requests[begin : begin + block_ticks]),
                sum(tick[pod] for tick in bad[begin : begin + block_ticks]),
            )
            for pod in range(len(bad[0]))
        ]
        for begin in range(0, len(bad) - block_ticks + 1, block_ticks)
    )
    return of_pods(blocks)


def of_pods(blocks: Iterable[Sequence[tuple[int, int]]]) -> float | None:
    """The dispersion that blocks show, each with the pods that were there all the time.

    As `of_blocks`, with Σ_blocks (pods - 1) for blocks·(pods - 1); a pod without requests is none.

    Args:
        blocks: of each block, requests and bad ones of each pod.
    """
    total, freedom = 0.0, 0
    for block in blocks:
        pods = [pod for pod in block if pod[0]]
        requests, bad = sum(q for q, _ in pods), sum(y for _, y in pods)
        if not bad:
            continue
        freedom += len(pods) - 1
        expected = ((y, bad * q / requests) for q, y in pods)
        total += sum((y - e) ** 2 / e for y, e in expected)
    return total / freedom if freedom > 0 else None


def estimate(bad: Sequence[Sequence[int]], requests: Sequence[Sequence[int]]) -> float | None:
    """φ̂ = max(1, the largest φ_b of `BLOCK_TICKS`); None where no length has an estimate."""
    found = [of_blocks(bad, requests, block_ticks=length) for length in BLOCK_TICKS]
    known = [one for one in found if one is not None]
    return max(1.0, *known) if known else None
