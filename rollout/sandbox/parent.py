"""Ties the life of a sandbox process to the life of the process that started it.

Linux only: the kernel sends a signal to the child when its parent goes, however it goes (also on
SIGKILL, where no handler of the parent can run). Elsewhere the call does nothing, and the parent's
own tidying up is all there is.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

# prctl(2): "set the parent-death signal of the calling process".
_PR_SET_PDEATHSIG = 1


def die_with_parent(
    death_signal: signal.Signals = signal.SIGTERM, *, parent_pid: int | None = None
) -> None:
    """Ask the kernel to send us `death_signal` when the parent goes.

    Call it first thing in a child's main thread, or as the `preexec_fn` of a foreign binary. The
    kernel watches the parent's *thread* that forked us: start children from a thread that lives as
    long as the parent does. The request survives exec, but not a change of user.

    Args:
        death_signal: SIGTERM lets the child tidy up; SIGKILL suits children that may ignore it.
        parent_pid: process id of the starter, when the child was told it. With it, a parent that
            went between fork and this call is noticed, and the signal is raised at once.

    Raises:
        OSError: the kernel refused, which it does only for a signal it does not know.
    """
    if sys.platform != "linux":
        return
    expected_pid = os.getppid() if parent_pid is None else parent_pid
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    if os.getppid() != expected_pid:
        os.kill(os.getpid(), death_signal)
