"""A stand-in for kube-apiserver: what kubectl and a controller need, in memory, on loopback.

It knows the kinds of its built-in table and of the CRDs it is given, and nothing of what they are
for. The contract suite keeps it honest. What differs from the real server on purpose:

- no authentication beside the secret path prefix; every review is answered with "allowed";
- namespaces come into being when something is created in them;
- ``managedFields`` are not kept, and server-side apply is coarse (see ``patches``);
- CEL rules are not evaluated, admission policies and webhooks do not exist;
- built-in kinds are checked by a few rules only (see ``rules``), strategic merge is coarse;
- garbage collection and the CRD's conditions are immediate, pods die without a kubelet;
- answers are never compressed: everything is loopback.
"""

from __future__ import annotations

from rollout.sandbox.apiserver.serving import Server, serve

__all__ = ["Server", "serve"]
