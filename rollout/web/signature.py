"""Whether a request is Slack's: signed with our secret, just now, and for the first time.

The signature is ``v0=`` and the HMAC-SHA256, by the app's signing secret, of ``v0:``, the
timestamp, ``:`` and the body as it came, byte for byte: parsed and written again it would be
another one.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Sequence

WINDOW_SECONDS = 300.0
"""How far a request's time may be from ours, as Slack advises; both ways."""

REMEMBERED_COUNT_MAX = 10_000
"""Requests that are remembered so that none is taken twice; beyond, the oldest are forgotten. Only
signed ones are remembered, and people press buttons some hundred times less often."""

_TIMESTAMP_LENGTH_MAX = 12
_SIGNATURE_LENGTH_MAX = 128


class Verifier:
    """Tells Slack's requests from others.

    Args:
        secrets: signing secrets of the app; several while one is being changed for another.
    """

    def __init__(self, secrets: Sequence[str]) -> None:
        assert secrets, "without a secret anybody could sign"
        assert all(secrets), "an empty secret is everybody's"
        self._keys = tuple(secret.encode() for secret in secrets)
        self._seen: OrderedDict[tuple[str, str], float] = OrderedDict()

    def accepts(self, *, timestamp: str, signature: str, body: bytes, now_seconds: float) -> bool:
        """Whether a request is Slack's; one that is, is not accepted again.

        Args:
            timestamp: the header ``X-Slack-Request-Timestamp``; empty: it is missing.
            signature: the header ``X-Slack-Signature``; empty: it is missing.
            body: the body as it came.
            now_seconds: the time, in seconds since 1970.
        """
        is_number = timestamp.isascii() and timestamp.isdecimal()
        if not is_number or len(timestamp) > _TIMESTAMP_LENGTH_MAX:
            return False
        if abs(now_seconds - int(timestamp)) > WINDOW_SECONDS:
            return False
        if len(signature) > _SIGNATURE_LENGTH_MAX or not self._is_signed(
            timestamp, signature, body
        ):
            return False
        return self._is_new(timestamp, signature, now_seconds=now_seconds)

    def _is_signed(self, timestamp: str, signature: str, body: bytes) -> bool:
        """By any of the secrets; which one is not to be learnt from how long it takes."""
        shown = signature.encode(errors="replace")
        base = b"v0:" + timestamp.encode() + b":" + body
        found = False
        for key in self._keys:
            wanted = f"v0={hmac.new(key, base, hashlib.sha256).hexdigest()}".encode()
            found |= hmac.compare_digest(wanted, shown)
        return found

    def _is_new(self, timestamp: str, signature: str, *, now_seconds: float) -> bool:
        while self._seen and next(iter(self._seen.values())) < now_seconds:
            self._seen.popitem(last=False)
        if (timestamp, signature) in self._seen:
            return False
        # One from the future is acceptable for two windows from now on.
        self._seen[timestamp, signature] = now_seconds + 2 * WINDOW_SECONDS
        if len(self._seen) > REMEMBERED_COUNT_MAX:
            self._seen.popitem(last=False)
        return True
