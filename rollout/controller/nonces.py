"""What looks at istiod's proxies have found, one after the other: what each was sent and took."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from rollout.ports import AGE_ERROR_SECONDS, WORDS_LENGTH_MAX, Nonces, Proxy, XdsType

SILENT_SECONDS = 3.0
"""A proxy that has not taken what it was sent for so long is named: others take milliseconds."""

CLUSTERS_REJECTED = "Error adding/updating cluster(s) "
"""How Envoy begins when it names each cluster that it rejects."""

HEARD_SECONDS = 0.2
"""How long after a write istiod knows of it at the latest: it watches, as we do."""

NAMED_COUNT_MAX = 3
"""Proxies named in a sentence; of more the number is told."""

ERROR_LENGTH_MAX = 200
"""Characters of a proxy's own words."""

Pair = tuple[str, XdsType]
"""A proxy and a type of configuration."""

Found = Mapping[Pair, Nonces]
"""What one look found."""


@dataclass(slots=True, kw_only=True)
class _Silence:
    """Somebody has not taken what it was sent, and last took this."""

    acked: str
    since_seconds: float


@dataclass(slots=True, kw_only=True)
class _Sight:
    """An answer as looks have seen it.

    Attributes:
        after_seconds: it was sent later than this: the look before did not find it.
        earliest_seconds: its push began no earlier than this, by the age that istiod tells.
        latest_seconds: its push began no later than this.
    """

    after_seconds: float
    earliest_seconds: float = -math.inf
    latest_seconds: float = math.inf

    @property
    def is_dated(self) -> bool:
        """Whether istiod has told when its push began."""
        return self.latest_seconds < math.inf

    def age(self, age_seconds: float | None, *, begun: float, now: float) -> None:
        """It was so old at a look of this begin and end."""
        if age_seconds is not None:
            earliest = begun - age_seconds - AGE_ERROR_SECONDS
            latest = now - age_seconds + AGE_ERROR_SECONDS
            self.earliest_seconds = max(self.earliest_seconds, earliest)
            self.latest_seconds = min(self.latest_seconds, latest)


@dataclass(slots=True, kw_only=True)
class Nonced:
    """What looks have found.

    Attributes:
        newest: the nonces of the newest look; empty before the first.
        at_seconds: when that was.
    """

    newest: Found = field(default_factory=dict)
    at_seconds: float = -math.inf
    _moved_seconds: dict[XdsType, float] = field(default_factory=dict)
    _silent: dict[Pair, _Silence] = field(default_factory=dict)
    _sights: dict[Pair, dict[str, _Sight]] = field(default_factory=dict)
    _begun_seconds: float = -math.inf

    def learn(
        self, proxies: Collection[Proxy], *, now: float, begun_seconds: float | None = None
    ) -> None:
        """One more look.

        Args:
            proxies: what it has found.
            now: when it was over.
            begun_seconds: when it began; None: it took no time.
        """
        found = {(p.name, kind): nonces for p in proxies for kind, nonces in p.nonces.items()}
        silent: dict[Pair, _Silence] = {}
        for pair, nonces in found.items():
            if pair not in self.newest or self.newest[pair].sent != nonces.sent:
                self._moved_seconds[pair[1]] = now
            if nonces.sent == nonces.acked:
                continue
            known = self._silent.get(pair)
            if known is None or known.acked != nonces.acked:
                known = _Silence(acked=nonces.acked, since_seconds=now)
            silent[pair] = known
        self._silent = silent
        self.newest, self.at_seconds = found, now
        self._see(begun=now if begun_seconds is None else begun_seconds, now=now)

    def _see(self, *, begun: float, now: float) -> None:
        """What the newest look tells of each answer that was sent last, or taken last."""
        sights: dict[Pair, dict[str, _Sight]] = {}
        for pair, nonces in self.newest.items():
            seen = self._sights.get(pair, {})
            sent = seen.get(nonces.sent) or _Sight(after_seconds=self._begun_seconds)
            sent.age(nonces.sent_age_seconds, begun=begun, now=now)
            sights[pair] = {nonces.sent: sent}
            if nonces.acked != nonces.sent:
                acked = seen.get(nonces.acked) or _Sight(after_seconds=self._begun_seconds)
                acked.age(nonces.acked_age_seconds, begun=begun, now=now)
                sights[pair][nonces.acked] = acked
        self._sights, self._begun_seconds = sights, begun

    @property
    def everybody(self) -> str:
        """All proxies that were told of, in words: those of other istiods are not among them.

        Those of another revision or cluster of a mesh are connected to an istiod of their own.
        """
        count = len({name for name, _ in self.newest})
        told = "the only proxy" if count == 1 else f"all {count:,} proxies"
        return f"{told} of this istiod"

    @property
    def rejected(self) -> Found:
        """Everything that proxies have rejected, and have taken nothing since."""
        return {
            pair: nonces
            for pair, nonces in self.newest.items()
            if nonces.error and nonces.sent != nonces.acked
        }

    def of(self, types: Collection[XdsType]) -> Found:
        """The newest nonces of some types."""
        return {pair: nonces for pair, nonces in self.newest.items() if pair[1] in types}

    def moved_seconds(self, types: Collection[XdsType]) -> float:
        """When something of these types was last seen to be sent."""
        moved = (self._moved_seconds.get(kind, -math.inf) for kind in types)
        return max(moved, default=-math.inf)

    def changed(self, types: Collection[XdsType], *, since: Found, written_seconds: float) -> bool:
        """Whether some proxy was sent something that may be what was written.

        That is what it had not been sent before; but not of a push that began before the write, as
        one gets that connects again. Or what is of a push that surely began later.
        """
        for pair, nonces in self.of(types).items():
            sight = self._sights[pair][nonces.sent]
            is_before = sight.latest_seconds < written_seconds
            if sight.earliest_seconds >= written_seconds + HEARD_SECONDS:
                return True
            if not is_before and _is_new(pair, nonces, since):
                return True
        return False

    def is_dated(self, types: Collection[XdsType]) -> bool:
        """Whether istiod has told of everything that was sent when its push began."""
        return all(self._sights[pair][n.sent].is_dated for pair, n in self.of(types).items())

    def have_taken(self, types: Collection[XdsType], *, sent_by: Found) -> set[Pair]:
        """Who has taken everything that was sent by an earlier look, or later."""
        return {
            pair
            for pair, nonces in self.of(types).items()
            if nonces.acked and _has_caught_up(nonces, sent_by.get(pair))
        }

    def have_taken_later(
        self, types: Collection[XdsType], *, written_seconds: float, undated_seconds: float
    ) -> set[Pair]:
        """Who has taken something of a push that began after a write.

        Args:
            types: what it is given out as.
            written_seconds: when it was written.
            undated_seconds: where istiod does not tell when pushes began: what was sent later than
                this is believed.
        """
        found: set[Pair] = set()
        for pair, nonces in self.of(types).items():
            sight = self._sights[pair][nonces.acked]
            is_later = (
                sight.earliest_seconds >= written_seconds + HEARD_SECONDS
                if sight.is_dated
                else sight.after_seconds >= undated_seconds
            )
            if nonces.acked and is_later:
                found.add(pair)
        return found

    def behind(
        self,
        types: Collection[XdsType],
        *,
        since: Found,
        taken: Collection[Pair] = (),
        named_as: str = "",
    ) -> Found:
        """Proxies that have yet to take something that may be what was written.

        Some endpoints are under way to somebody at any time, and so is all to a proxy that has just
        connected: those count when a look later they still are.

        Args:
            types: what it is given out as.
            since: the nonces before the write, or before anybody waited.
            taken: those that are known to have it.
            named_as: see `_is_older`.
        """
        return {
            pair: nonces
            for pair, nonces in self.of(types).items()
            if nonces.sent != nonces.acked
            and not _is_older(pair, nonces, since=since, named_as=named_as)
            and pair not in taken
            and (not self._is_fleeting(pair, since) or self._has_lasted(pair))
        }

    def _is_fleeting(self, pair: Pair, since: Found) -> bool:
        """Whether something is under way to somebody at any time."""
        return pair[1] is XdsType.EDS or pair not in since

    def _has_lasted(self, pair: Pair) -> bool:
        """Whether a proxy had something to take at the look before already."""
        return self._silent[pair].since_seconds < self.at_seconds

    def named(self, behind: Found, *, silent_seconds: float = SILENT_SECONDS) -> str:
        """Those of them that have rejected something or are silent for so long, in a sentence."""
        told = [_refusal(pair, nonces) for pair, nonces in behind.items() if nonces.error]
        for pair, nonces in behind.items():
            lasted_seconds = self.at_seconds - self._silent[pair].since_seconds
            if not nonces.error and lasted_seconds >= silent_seconds:
                long = lasted_seconds >= SILENT_SECONDS
                how = f"has not acknowledged {pair[1]} for more than {SILENT_SECONDS:g} s"
                told.append(f"{pair[0]} {how if long else f'has yet to acknowledge {pair[1]}'}")
        rest = len(told) - NAMED_COUNT_MAX
        return "; ".join(told[:NAMED_COUNT_MAX]) + (f"; and {rest} more" if rest > 0 else "")


def _is_new(pair: Pair, nonces: Nonces, since: Found) -> bool:
    """Whether a proxy was sent something since; one that is new itself tells nothing."""
    before = since.get(pair)
    return before is not None and before.sent != nonces.sent


def _is_older(pair: Pair, nonces: Nonces, *, since: Found, named_as: str) -> bool:
    """Whether a rejection has nothing to do with what was written.

    That is one which stood before, of something that was not sent again. Envoy names the clusters
    that it rejects, and takes the others: so one may be of it whose words name the cluster, or do
    not begin so, as of an answer that was rejected as a whole, or are cut short.

    Args:
        pair: whose it is.
        nonces: how it stands.
        since: how it stood before.
        named_as: how the name of a cluster contains what was written; empty: it is no cluster.
    """
    if not nonces.error or _is_new(pair, nonces, since):
        return False
    if not named_as:
        return True
    names_all = nonces.error.startswith(CLUSTERS_REJECTED) and len(nonces.error) < WORDS_LENGTH_MAX
    return names_all and named_as not in nonces.error


def _has_caught_up(nonces: Nonces, then: Nonces | None) -> bool:
    """Whether all that was sent by then is taken: proxies take answers in their order."""
    return then is None or then.sent == then.acked or then.acked != nonces.acked


def _refusal(pair: Pair, nonces: Nonces) -> str:
    error = nonces.error
    if len(error) > ERROR_LENGTH_MAX:
        error = error[: ERROR_LENGTH_MAX - 1] + "…"
    return f"{pair[0]} has rejected {pair[1]}: {error.rstrip('. ')}"
