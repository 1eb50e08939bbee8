"""How a run stands that waits for its proxies, by what looks at istiod have found since.

Nothing that istiod tells ties an answer to an object: what told that was removed in Istio 1.23. But
a push sends all that istiod knows as it begins, and changes are gathered into one push. So a proxy
has what was written when it has taken an answer of a push that began after the write, whatever else
is under way to it later. That is kept for each proxy: in a mesh that never rests there is no moment
at which all of them have taken everything. When a push began is told to the second, so most often
it is known only of pushes that came a second or two later, or before.

What remains is inferred: a proxy was sent something new by what it would be given the write, and by
no push that surely began before; everybody has taken all there is; and nothing more was sent for
longer than istiod gathers changes. Of a subset that is new the clusters must have changed, since
endpoints do so all the time; of endpoints that are new only endpoints can.

The limits: a push that began in the second of the write, with another one to follow later than it
takes to gather changes by default, may be believed too early. And where istiod does not tell when
pushes began, all who connect again look as if they had been sent something. So there, and for
subsets, endpoints and the way back always, nothing is inferred before the settle time has passed,
which is what one would wait without istiod; only answers of a push that surely began later are
believed sooner.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from rollout.api.traffic import Propagation, Spread
from rollout.controller.nonces import SILENT_SECONDS, Found, Nonced, Pair
from rollout.ports import XdsType

QUIET_SECONDS = 0.2
"""How long nothing more may be sent before all is taken for sent: twice istiod's default of 0.1 s,
in which a push that began just before the write is followed by the one that has it."""

UNCHANGED_SECONDS = 10.0
"""How long a write may change nothing at any proxy before traffic or time must tell: the longest
that istiod gathers changes (``PILOT_DEBOUNCE_MAX``)."""

UNNAMED_SECONDS = UNCHANGED_SECONDS + SILENT_SECONDS
"""How long a run waits without a word of who is in the way, even if each is only a little late."""

STEADY_SECONDS = 10.0
"""How long a proxy that was in the way must not be so before that is said: some flip at each look,
and each time would be a status to write, and an Event."""

WAITING = "proxies have yet to acknowledge it"

About = tuple[object, ...]


@dataclass(slots=True, kw_only=True)
class Wait:
    """A run that waits for its proxies.

    Attributes:
        about: what for.
        percent: see `Propagation`.
        types: what proxies are given it by.
        proving: those of them that surely change with it.
        since_seconds: when the wait began.
        written_seconds: when it was written, or was first seen to be there.
        bound_seconds: how long nothing may change before nobody can tell.
        floor_seconds: how long nothing is believed that might be of an earlier push.
        named_as: see `Nonced.behind`.
        is_old: it was there for so long before the wait began that it has been sent already: it is
            enough that everybody takes what was sent by the first look.
        before: the nonces before it was written; None until the first look.
        changed_seconds: when the first change of a nonce was seen; None: none was.
        failing_seconds: since when istiod does not answer; None: it does.
        seen_seconds: when what is known was found last.
        taken: who has it, whatever is under way to them now.
        known: how it stands.
    """

    about: About
    percent: float | None
    types: frozenset[XdsType]
    proving: frozenset[XdsType]
    since_seconds: float
    written_seconds: float
    bound_seconds: float
    floor_seconds: float
    named_as: str = ""
    is_old: bool = False
    before: Found | None = None
    changed_seconds: float | None = None
    failing_seconds: float | None = None
    seen_seconds: float = 0.0
    taken: set[Pair] = field(default_factory=set)
    known: Propagation

    @property
    def is_open(self) -> bool:
        """Whether looks can still tell something."""
        return self.known.spread is Spread.PENDING

    def judge(self, nonced: Nonced) -> Propagation:
        """What the newest look tells, or what was known if that has yet to last."""
        before, told = self.known, self._found(nonced)
        is_end = told.spread is not Spread.PENDING
        is_less = (told.refused, told.hindered) < (before.refused, before.hindered)
        if is_end or not is_less or nonced.at_seconds - self.seen_seconds >= STEADY_SECONDS:
            self.seen_seconds = nonced.at_seconds
            return told
        return before

    def _found(self, nonced: Nonced) -> Propagation:
        """What the newest look alone tells."""
        now = nonced.at_seconds
        if self.before is None:
            self.before = nonced.newest
        if self.changed_seconds is None and nonced.changed(
            self.proving, since=self.before, written_seconds=self.written_seconds
        ):
            self.changed_seconds = now
        self.taken |= self._have_taken(nonced, before=self.before)
        behind = nonced.behind(
            self.types, since=self.before, taken=self.taken, named_as=self.named_as
        )
        if behind:
            is_late = now - self.since_seconds >= UNNAMED_SECONDS
            named = nonced.named(behind, silent_seconds=0 if is_late else SILENT_SECONDS)
            refused = any(nonces.error for nonces in behind.values())
            return self.told(
                Spread.PENDING, named or WAITING, refused=refused, hindered=bool(named)
            )
        if self._has_arrived(nonced):
            rejected = nonced.named(nonced.rejected)
            besides = f"; beside it {rejected}" if rejected else ""
            return self.told(Spread.DONE, f"acknowledged by {nonced.everybody}{besides}")
        if self.changed_seconds is None and now - self.since_seconds >= self.bound_seconds:
            told = f"istiod has sent {nonced.everybody} nothing new for it"
            return self.told(Spread.UNKNOWN, told)
        return self.told(Spread.PENDING, WAITING)

    def told(
        self, spread: Spread, message: str, *, refused: bool = False, hindered: bool = False
    ) -> Propagation:
        """The same in the words of deciding."""
        return Propagation(
            spread=spread,
            percent=self.percent,
            message=message,
            refused=refused,
            hindered=hindered,
        )

    def _have_taken(self, nonced: Nonced, *, before: Found) -> set[Pair]:
        """Who has it for sure, by the newest look."""
        if self.is_old:
            return nonced.have_taken(self.types, sent_by=before)
        if self.changed_seconds is None:
            return set()
        floor_seconds = self.since_seconds + self.floor_seconds
        return nonced.have_taken_later(
            self.types,
            written_seconds=self.written_seconds,
            undated_seconds=max(floor_seconds, self.changed_seconds + QUIET_SECONDS),
        )

    def _has_arrived(self, nonced: Nonced) -> bool:
        """Whether all that will be sent was, when nobody is behind."""
        now, pairs = nonced.at_seconds, nonced.of(self.proving)
        if self.is_old:
            return bool(pairs)
        if self.changed_seconds is None:
            return False
        if pairs.keys() <= self.taken or now - self.changed_seconds >= UNCHANGED_SECONDS:
            return True
        # To call a weight taken too early begins its step early; a subset must be there for sure.
        # And what is taken away must be gone for sure before its guard comes off.
        is_weight = bool(self.percent) and not self.proving & {XdsType.CDS, XdsType.EDS}
        is_sure = is_weight and nonced.is_dated(self.proving)
        moved_seconds = nonced.moved_seconds(self.types - {XdsType.EDS})
        is_quiet = now - max(moved_seconds, self.changed_seconds) >= QUIET_SECONDS
        return is_quiet and (is_sure or now - self.since_seconds >= self.floor_seconds)
