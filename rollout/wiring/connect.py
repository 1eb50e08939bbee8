"""From a kubeconfig to a client that is connected."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from rollout.adapters import kubernetes
from rollout.adapters.clock import SystemClock
from rollout.wiring import kubeconfig as kubeconfigs
from rollout.wiring.client import Client


@contextlib.asynccontextmanager
async def client(
    *, kubeconfig: str = "", context: str = "", namespace: str = ""
) -> AsyncIterator[Client]:
    """A client for the cluster that a kubeconfig names; connections close with the context.

    Args:
        kubeconfig: files, separated by ``:``; empty: where kubectl looks.
        context: which context; empty: the current one.
        namespace: where names are looked up; empty: the context's own.

    Raises:
        UnknownName: there is no such context.
        BadInput: the kubeconfig is not there, or cannot be read.
    """
    paths = kubeconfig or kubeconfigs.default_paths()
    where = kubeconfigs.read(paths, context=context)
    cluster = await kubernetes.connect(
        kubeconfig=paths if where.context else None, context=where.context or None
    )
    try:
        yield Client(
            cluster,
            namespace=namespace or where.namespace,
            user=where.user,
            clock=SystemClock(),
        )
    finally:
        await cluster.close()
