"""Names of services in the mesh, compared as fully qualified domain names."""

from __future__ import annotations

CLUSTER_DOMAIN = "cluster.local"
"""The domain that Istio appends to short names unless told otherwise."""


def fqdn(host: str, *, namespace: str, domain: str = CLUSTER_DOMAIN) -> str:
    """The full name of ``host`` as an object in ``namespace`` means it.

    Istio's rule (``ResolveShortnameToFQDN``): a name without a dot is a service of the object's own
    namespace; a name with a dot is taken as written, even ``reviews.other``; ``*`` stays.
    """
    name = host.rstrip(".").lower()
    if "." in name or name.startswith("*"):
        return name
    return f"{name}.{namespace}.svc.{domain}"
