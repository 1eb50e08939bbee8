"""Refusals: what the server says no with, worded as kube-apiserver words it.

Clients and people read these sentences, so they are kept to the letter where they are known
(seen on kube-apiserver 1.34).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rollout.base import errors
from rollout.sandbox.apiserver.trees import Json, Tree, shown

BODY_LIMIT_BYTES = 3 * 1024 * 1024  # kube-apiserver's own limit of a request body


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One thing wrong with an object.

    Attributes:
        reason: the machine's word, such as ``FieldValueInvalid``.
        field: path of the field, such as ``spec.steps[0].weight``.
        message: what is wrong, without the path.
    """

    reason: str
    field: str
    message: str

    @property
    def sentence(self) -> str:
        """The message with its field in front."""
        return f"{self.field}: {self.message}"


class Refusal(errors.RolloutError):
    """The server refuses a request; it becomes a Status object.

    Attributes:
        code: HTTP status.
        reason: the machine's word, such as ``NotFound``; may be empty.
        message: one sentence for people.
        details: the ``details`` of the Status.
        retry_after_seconds: when to come back; 0 says nothing.
    """

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        details: Json | None = None,
        retry_after_seconds: int = 0,
    ) -> None:
        super().__init__(code, reason, message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details or {}
        self.retry_after_seconds = retry_after_seconds

    def __str__(self) -> str:
        return self.message

    def body(self) -> Json:
        """Return the Status object."""
        status: Json = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "details": self.details,
            "code": self.code,
        }
        if not self.reason:
            del status["reason"]
        return status


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """How messages name a resource.

    Attributes:
        group: API group, empty for the core.
        plural: as in URLs.
        kind: as in manifests.
    """

    group: str
    plural: str
    kind: str

    @property
    def resource(self) -> str:
        """Such as ``rollouts.rollout.dev``, for storage errors."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def qualified_kind(self) -> str:
        """Such as ``Rollout.rollout.dev``, for validation errors."""
        return f"{self.kind}.{self.group}" if self.group else self.kind

    def details(self, name: str) -> Json:
        """Return the details of a storage error, whose ``kind`` is the plural."""
        return _trimmed({"name": name, "group": self.group, "kind": self.plural})


def _trimmed(details: Json) -> Json:
    return {key: value for key, value in details.items() if value}


def not_found(label: Label, name: str) -> Refusal:
    """There is no such object."""
    message = f'{label.resource} "{name}" not found'
    return Refusal(404, "NotFound", message, details=label.details(name))


def already_exists(label: Label, name: str) -> Refusal:
    """The name is taken."""
    message = f'{label.resource} "{name}" already exists'
    return Refusal(409, "AlreadyExists", message, details=label.details(name))


STALE = (
    "the object has been modified; please apply your changes to the latest version and try again"
)


def conflict(label: Label, name: str, why: str = STALE) -> Refusal:
    """A precondition does not hold."""
    message = f'Operation cannot be fulfilled on {label.resource} "{name}": {why}'
    return Refusal(409, "Conflict", message, details=label.details(name))


def bad_request(message: str) -> Refusal:
    """The request cannot be understood."""
    return Refusal(400, "BadRequest", message)


def cannot_be_handled(label: Label, version: str, why: str) -> Refusal:
    """The body cannot be decoded as this kind."""
    return bad_request(
        f'{label.kind} in version "{version}" cannot be handled as a {label.kind}: {why}'
    )


def invalid(label: Label, name: str, causes: Sequence[Cause]) -> Refusal:
    """The object breaks rules of its kind."""
    sentences = list(dict.fromkeys(cause.sentence for cause in causes))
    said = sentences[0] if len(sentences) == 1 else f"[{', '.join(sentences)}]"
    message = f'{label.qualified_kind} "{name}" is invalid: {said}'
    details = _trimmed({"name": name, "group": label.group, "kind": label.kind})
    details["causes"] = [
        {"reason": cause.reason, "message": cause.message, "field": cause.field} for cause in causes
    ]
    return Refusal(422, "Invalid", message, details=details)


def invalid_value(field: str, value: Tree, why: str) -> Cause:
    """A value breaks a rule."""
    return Cause(
        reason="FieldValueInvalid", field=field, message=f"Invalid value: {shown(value)}: {why}"
    )


def required_value(field: str, why: str = "") -> Cause:
    """A value is missing."""
    message = f"Required value: {why}" if why else "Required value"
    return Cause(reason="FieldValueRequired", field=field, message=message)


def forbidden_value(field: str, why: str) -> Cause:
    """A value may not be set here."""
    return Cause(reason="FieldValueForbidden", field=field, message=f"Forbidden: {why}")


def too_long(field: str, limit_bytes: int) -> Cause:
    """A text or map is too long."""
    message = f"Too long: may not be more than {limit_bytes} bytes"
    return Cause(reason="FieldValueTooLong", field=field, message=message)


def unprocessable_patch() -> Refusal:
    """Any JSON patch that does not apply: kube-apiserver does not say which operation failed."""
    return Refusal(422, "Invalid", "the server rejected our request due to an error in our request")


def too_large() -> Refusal:
    """The body is beyond the limit."""
    message = f"Request entity too large: limit is {BODY_LIMIT_BYTES}"
    return Refusal(413, "RequestEntityTooLarge", message)


def unsupported_media(accepted: Sequence[str]) -> Refusal:
    """The content type is not one of those understood here."""
    message = (
        "the body of the request was in an unknown format - accepted media types include: "
        + ", ".join(accepted)
    )
    return Refusal(415, "UnsupportedMediaType", message)


def method_not_allowed() -> Refusal:
    """The resource does not know the verb."""
    message = "the server does not allow this method on the requested resource"
    return Refusal(405, "MethodNotAllowed", message)


def expired(message: str) -> Refusal:
    """The version asked for is gone."""
    return Refusal(410, "Expired", message)


def from_the_future(wanted: int, current: int) -> Refusal:
    """The version asked for has not been reached in the time a server waits for it."""
    details = {
        "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
        "retryAfterSeconds": 1,
    }
    message = f"Timeout: Too large resource version: {wanted}, current: {current}"
    return Refusal(504, "Timeout", message, details=details, retry_after_seconds=1)


def storage_failure(message: str) -> Refusal:
    """The store itself cannot take the object; real servers give no reason word here."""
    return Refusal(500, "", message)
