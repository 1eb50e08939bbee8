"""What all tests of the sandbox share."""

from __future__ import annotations

import asyncio

# The looptime plugin asks the policy for a loop even in tests without one. Until somebody has set
# a loop, Python 3.11 answers by making one, which nobody closes, and a later test is blamed for it.
asyncio.get_event_loop_policy().set_event_loop(None)
