"""What a server's refusal means."""

from __future__ import annotations

import pytest

from rollout.base import errors
from rollout.views import refusals


def told(message: str, *, status: int = 403) -> str:
    denied = errors.Denied("Rollout shop/reviews", status_code=status, message=message)
    return refusals.sentence(denied)


def lacks(verb: str, resource: str, *, group: str = "rollout.dev", where: str) -> str:
    in_group = f' in API group "{group}"' if group else ""
    return f'x is forbidden: User "alice" cannot {verb} resource "{resource}"{in_group}{where}'


@pytest.mark.parametrize(
    ("verb", "resource", "role"),
    [
        ("list", "rollouts", "rollout-viewer"),
        ("watch", "rolloutactions", "rollout-viewer"),
        ("patch", "rollouts", "rollout-editor"),
        ("create", "rolloutactions", "rollout-operator"),
    ],
)
def test_who_lacks_a_right_is_told_the_role_that_has_it(
    verb: str, resource: str, role: str
) -> None:
    assert told(lacks(verb, resource, where=' in the namespace "shop"')) == (
        f"alice may not {verb} {resource} in namespace shop; "
        f"it takes the verb {verb} on {resource}.rollout.dev, which the ClusterRole {role} has"
    )


def test_who_may_not_look_everywhere_may_perhaps_look_somewhere() -> None:
    assert told(lacks("list", "rollouts", where=" at the cluster scope")).startswith(
        "alice may not list rollouts in all namespaces; it takes the verb list"
    )
    assert told(lacks("list", "rollouts", where=" at the cluster scope")).endswith(
        "; with -n one namespace may do"
    )


def test_of_kinds_of_others_and_of_unknown_kinds_no_role_is_named() -> None:
    foreign = lacks("list", "pods", group="", where=' in the namespace "shop"')
    unknown = lacks("patch", "others", where=' in the namespace "shop"')

    assert told(foreign).endswith("it takes the verb list on pods")
    assert told(unknown).endswith("it takes the verb patch on others.rollout.dev")


def test_a_policys_sentence_stands_alone() -> None:
    message = "ValidatingAdmissionPolicy 'a' with binding 'b' denied request: alice may not"

    assert told(message) == "alice may not"


def test_whom_the_server_does_not_know_logs_in() -> None:
    assert told("Unauthorized", status=401) == (
        "the API server does not know you; log in again, or name another --context"
    )


def test_any_other_refusal_is_quoted() -> None:
    assert told("too many") == "writing Rollout shop/reviews was refused: too many"
