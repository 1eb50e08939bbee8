"""What a kubeconfig says about whom we speak to: context, namespace, user; sentences when it fails.

The connection itself is the adapter's; this reads the three names that the command line shows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from rollout.api.reading import nearest
from rollout.base import errors

FILE_BYTES_MAX = 4 * 1024 * 1024
"""A kubeconfig of a thousand clusters has half of this."""

IN_CLUSTER = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod finds its own credentials."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Whereabouts:
    """Whom we speak to.

    Attributes:
        context: the context's name; empty inside a cluster.
        namespace: the namespace to use when none is given.
        user: the user's name in the kubeconfig; empty inside a cluster.
    """

    context: str
    namespace: str
    user: str


def default_paths() -> str:
    """Where kubectl looks when neither ``--kubeconfig`` nor ``$KUBECONFIG`` says."""
    return str(Path.home() / ".kube" / "config")


def read(paths: str, *, context: str = "") -> Whereabouts:
    """Read files, separated by ``:`` and merged as kubectl does: the first to name something wins.

    Raises:
        UnknownName: the context is in none of them; the nearest is named.
        BadInput: no file is there and we are not in a cluster, or a file cannot be read.
    """
    found = [Path(path).expanduser() for path in paths.split(":") if path]
    documents = [_load(path) for path in found if path.is_file()]
    if not documents:
        if (IN_CLUSTER / "namespace").is_file():
            return Whereabouts(
                context="", namespace=(IN_CLUSTER / "namespace").read_text().strip(), user=""
            )
        sentence = (
            f"{paths}: there is no such kubeconfig; give one with --kubeconfig or $KUBECONFIG, "
            "or try everything on this machine with `rollout demo`"
        )
        raise errors.BadInput(sentence)
    wanted = context or next(filter(None, (d.get("current-context") for d in documents)), "")
    if not wanted:
        sentence = f"{paths}: no current-context is set; name one with --context"
        raise errors.BadInput(sentence)
    return _context(documents, wanted, paths=paths)


def _context(documents: Sequence[Mapping[str, Any]], wanted: str, *, paths: str) -> Whereabouts:
    contexts = dict(reversed(list(_contexts(documents))))
    if wanted not in contexts:
        near = nearest(wanted, list(contexts))
        known = ", ".join(sorted(contexts)) or "none"
        remedy = f"did you mean {near}?" if near else f"{paths} has {known}"
        raise errors.UnknownName(what=f"context {wanted}", remedy=remedy)
    chosen = contexts[wanted]
    return Whereabouts(
        context=wanted,
        namespace=str(chosen.get("namespace") or "default"),
        user=str(chosen.get("user") or ""),
    )


def _contexts(documents: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for document in documents:
        for entry in document.get("contexts") or ():
            yield str(entry.get("name", "")), entry.get("context") or {}


def _load(path: Path) -> Mapping[str, Any]:
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            sentence = f"{path} is too large for a kubeconfig"
            raise errors.BadInput(sentence)
        document = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        sentence = f"{path} cannot be read as a kubeconfig: {str(error).splitlines()[0]}"
        raise errors.BadInput(sentence) from error
    if not isinstance(document, dict):
        sentence = f"{path} is no kubeconfig: it holds no object"
        raise errors.BadInput(sentence)
    return document
