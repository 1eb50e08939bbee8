"""Names of services in the mesh, compared as fully qualified domain names."""

from __future__ import annotations

CLUSTER_DOMAIN = "cluster.local"
"""The domain that Istio appends to short names unless told otherwise."""


def fqdn(host: str, *, namespace: str, domain: str = CLUSTER_DOMAIN) -> str:
    """The full name of ``host`` as an object in ``namespace`` means it.

    A name without a dot is a service of that namespace. ``name.other`` and ``name.other.svc`` are
    read as Kubernetes' search path does, although Istio itself leaves any dotted name alone: both
    spellings route to the same service there, since istiod lists them as aliases of its virtual host.
    Anything else is taken as written (external names, ServiceEntry hosts, wildcards).
    """
    name = host.rstrip(".").lower()
    labels = name.split(".")
    if len(labels) == 1:
        return f"{name}.{namespace}.svc.{domain}"
    if len(labels) == 2 and labels[1] and "*" not in name:
        return f"{name}.svc.{domain}"
    if len(labels) == 3 and labels[2] == "svc":
        return f"{name}.{domain}"
    return name
