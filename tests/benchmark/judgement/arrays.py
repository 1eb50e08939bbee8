"""The nouns that all parts share: counts of many simulated runs at once, and seeds by name."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]
Flags = NDArray[np.bool_]

CHUNK_RUNS = 250
"""Runs simulated at once: their arrays fit a processor's cache."""


@dataclass(frozen=True, slots=True)
class Ticks:
    """What each tick of each run had of both arms, as arrays (runs, ticks)."""

    canary_requests: Floats
    stable_requests: Floats
    canary_failures: Floats
    stable_failures: Floats

    @property
    def requests(self) -> Floats:
        """N."""
        return self.canary_requests + self.stable_requests

    @property
    def bad(self) -> Floats:
        """Bad ones of both arms."""
        return self.canary_failures + self.stable_failures

    @property
    def share(self) -> Floats:
        """The share that the canary really got; 0 where nobody got anything."""
        requests = self.requests
        return np.divide(
            self.canary_requests, requests, out=np.zeros_like(requests), where=requests > 0
        )

    def rows(self, chosen: Flags) -> Ticks:
        """Some of the runs."""
        return Ticks(
            self.canary_requests[chosen],
            self.stable_requests[chosen],
            self.canary_failures[chosen],
            self.stable_failures[chosen],
        )

    def merged(self, ticks: int) -> Ticks:
        """Counts of so many ticks together, such as minutes; a rest that is not whole is left."""
        return Ticks(*(_merged(one, ticks) for one in self.parts))

    @property
    def parts(self) -> tuple[Floats, Floats, Floats, Floats]:
        """The four arrays, in the order of the fields."""
        return (
            self.canary_requests,
            self.stable_requests,
            self.canary_failures,
            self.stable_failures,
        )


def _merged(one: Floats, ticks: int) -> Floats:
    whole = one.shape[1] // ticks
    found: Floats = one[:, : whole * ticks].reshape(one.shape[0], whole, ticks).sum(axis=2)
    return found


def random_of(name: str, chunk: int) -> np.random.Generator:
    """The random numbers of one chunk of a cell: by its name, whoever draws them."""
    digest = hashlib.sha256(name.encode()).digest()
    return np.random.default_rng([int.from_bytes(digest[:8]), chunk])


def first(flags: Flags) -> Whole:
    """The first place at which each row holds; the row's length where it never does."""
    found = np.argmax(flags, axis=1)
    places: Whole = np.where(flags.any(axis=1), found, flags.shape[1]).astype(np.int64)
    return places
