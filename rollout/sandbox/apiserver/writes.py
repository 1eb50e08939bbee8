"""Writes: create, replace, patch and delete, each from a decoded request to the store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rollout.sandbox.apiserver import (
    admission,
    calls,
    deletion,
    metadata,
    native,
    patches,
    refusals,
    rules,
    scales,
    strategic,
)
from rollout.sandbox.apiserver.calls import Call
from rollout.sandbox.apiserver.kinds import Registry
from rollout.sandbox.apiserver.store import Entry, Store
from rollout.sandbox.apiserver.trees import Json, Tree, mapping, same

Edit = Callable[[Json], Json]  # the object as this client sees it → as it wants it


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a write came to.

    Attributes:
        entry: the object afterwards.
        code: the HTTP status.
        gone: the object was deleted for good.
    """

    entry: Entry
    code: int = 200
    gone: bool = False


class Writer:
    """Executes writes against the store. It runs without a pause, so it never meets itself."""

    def __init__(
        self,
        store: Store,
        registry: Registry,
        *,
        deleter: deletion.Deleter,
        now_text: Callable[[], str],
    ) -> None:
        self._store = store
        self._registry = registry
        self._deleter = deleter
        self._now_text = now_text

    def create(self, call: Call, sent: Json, duplicates: list[str]) -> Outcome:
        """Create an object.

        Raises:
            Refusal: 400, 403, 409, 422, 500.
        """
        call.check_options()
        resource = call.resource
        body = rules.stored(resource, admission.opened(call, sent))
        body = admission.shaped(call, body, None, duplicates=duplicates)
        meta = body["metadata"]
        if not meta.get("name") and not meta.get("generateName"):
            cause = refusals.required_value("metadata.name", "name or generateName is required")
            raise refusals.invalid(resource.label, "", [cause])
        if meta.get("resourceVersion"):
            message = "resourceVersion should not be set on objects to be created"
            raise refusals.storage_failure(message)
        body["metadata"] = metadata.created(
            meta,
            namespace=call.namespace,
            now_text=self._now_text(),
            counts_generations=resource.counts_generations,
        )
        if resource.custom and call.version.status:
            body.pop("status", None)
        if not resource.custom:
            body = rules.completed(resource, body, self._now_text())
        return self._keep_new(call, body, {})

    def _keep_new(self, call: Call, body: Json, applied: dict[tuple[str, str], Json]) -> Outcome:
        label, name = call.resource.label, body["metadata"]["name"]
        if self._store.get(call.resource.storage, call.namespace, name) is not None:
            raise refusals.already_exists(label, name)
        admission.validated(call, body, None)
        if call.namespace:
            self._enter_namespace(call, name)
        draft = self._store.draft(body, applied)
        if not call.dry_run:
            self._store.put(call.resource.storage, draft)
        return Outcome(entry=draft, code=201)

    def _enter_namespace(self, call: Call, name: str) -> None:
        """Make an unknown namespace known; refuse one that is going.

        Real servers refuse an unknown namespace. Here a sandbox may begin with any manifest.
        """
        namespace = self._store.get(native.NAMESPACES, "", call.namespace)
        if namespace is None:
            if not call.dry_run:
                self.ensure_namespace(call.namespace)
        elif namespace.body["metadata"].get("deletionTimestamp"):
            raise _terminating(call, name)

    def ensure_namespace(self, name: str) -> None:
        """Create a namespace unless it is there."""
        if self._store.get(native.NAMESPACES, "", name) is not None:
            return
        found = self._registry.find("", "v1", "namespaces")
        assert found is not None, "namespaces are built in"
        meta = metadata.created(
            {"name": name}, namespace="", now_text=self._now_text(), counts_generations=False
        )
        body = rules.completed(found[0], {"metadata": meta}, self._now_text())
        self._store.put(native.NAMESPACES, self._store.draft(body, {}))

    def replace(self, call: Call, sent: Json, duplicates: list[str]) -> Outcome:
        """Replace an object (PUT).

        Raises:
            Refusal: 400, 404, 409, 422, 500.
        """
        call.check_options()
        before = self._existing(call)
        if call.subresource == "scale":
            return self._rescale(call, before, sent)
        meta = mapping(sent.get("metadata"))
        must_name_version = call.resource.custom or call.resource.kind == "Lease"
        if must_name_version and not meta.get("resourceVersion"):
            cause = refusals.Cause(
                reason="FieldValueInvalid",
                field="metadata.resourceVersion",
                message="Invalid value: 0x0: must be specified for an update",
            )
            raise refusals.invalid(call.resource.label, call.name, [cause])
        return self._update(call, before, sent, duplicates=duplicates)

    def patch(self, call: Call, media_type: str, patch: Tree) -> Outcome:
        """Patch an object.

        Raises:
            Refusal: 400, 404, 409, 415, 422, 500.
        """
        call.check_options()
        if media_type == calls.APPLY_PATCH:
            return self._apply(call, mapping(patch))
        accepted = [calls.JSON_PATCH, calls.MERGE_PATCH, calls.APPLY_PATCH]
        if not call.resource.custom:
            accepted.insert(2, calls.STRATEGIC_PATCH)
        if media_type not in accepted:
            raise refusals.unsupported_media(accepted)
        before = self._existing(call)
        if call.subresource == "scale":
            seen = scales.scale_of(call, before)
            return self._rescale(call, before, _edited(media_type, seen, patch))
        return self._update(call, before, _edited(media_type, self._seen(call, before), patch))

    def _existing(self, call: Call) -> Entry:
        before = self._store.get(call.resource.storage, call.namespace, call.name)
        if before is None:
            raise refusals.not_found(call.resource.label, call.name)
        return before

    def _seen(self, call: Call, entry: Entry) -> Json:
        envelope = {"apiVersion": call.api_version, "kind": call.resource.kind}
        return {**envelope, **rules.presented(call.resource, entry.body)}

    def _update(
        self,
        call: Call,
        before: Entry,
        wanted: Json,
        *,
        duplicates: list[str] | None = None,
        applied: dict[tuple[str, str], Json] | None = None,
    ) -> Outcome:
        old = before.body
        body = rules.stored(call.resource, admission.opened(call, wanted))
        body = admission.shaped(call, body, old, duplicates=duplicates or [])
        if body["metadata"] is not old["metadata"]:
            admission.guarded(call, body["metadata"], old["metadata"])
        body = _only_own_part(call, body, old)
        if body["metadata"] is not old["metadata"]:
            body["metadata"] = metadata.carried_over(body["metadata"], old["metadata"])
        if call.resource.kind == "CustomResourceDefinition" and not call.subresource:
            body = rules.completed(call.resource, body, self._now_text())
        admission.validated(call, body, old)
        if same(body, old):
            return self._unchanged(call, before, applied)
        if "generation" in old["metadata"] and admission.changes_generation(call, body, old):
            raised = old["metadata"]["generation"] + 1
            body["metadata"] = {**body["metadata"], "generation": raised}
        draft = self._store.draft(body, before.applied if applied is None else applied)
        if call.dry_run:
            return Outcome(entry=draft)
        return self._keep(call, before, draft)

    def _unchanged(
        self, call: Call, before: Entry, applied: dict[tuple[str, str], Json] | None
    ) -> Outcome:
        if applied is not None and not call.dry_run:
            before.applied = applied  # ownership is no part of the object here: no new version
        return Outcome(entry=before)

    def _keep(self, call: Call, before: Entry, draft: Entry) -> Outcome:
        meta = draft.body["metadata"]
        last_finalizer_went = meta.get("deletionTimestamp") and not meta.get("finalizers")
        if last_finalizer_went and call.resource.storage != native.NAMESPACES:
            last = self._store.remove(call.resource.storage, before, draft.body)
            return Outcome(entry=last, gone=True)
        self._store.put(call.resource.storage, draft)
        return Outcome(entry=draft)

    def _rescale(self, call: Call, before: Entry, scale: Json) -> Outcome:
        wanted = scales.rescaled(call, before, scale)
        outcome = self._update(scales.parent(call), before, self._with_envelope(call, wanted))
        return Outcome(entry=outcome.entry)

    def _with_envelope(self, call: Call, body: Json) -> Json:
        return {"apiVersion": call.api_version, "kind": call.resource.kind, **body}

    def _apply(self, call: Call, patch: Json) -> Outcome:
        label = call.resource.label
        if not call.query.get("fieldManager"):
            cause = refusals.required_value("fieldManager", "is required for apply patch")
            raise refusals.invalid(
                refusals.Label(group="meta.k8s.io", plural="", kind="PatchOptions"), "", [cause]
            )
        if mapping(patch.get("metadata")).get("managedFields"):
            message = "metadata.managedFields must be nil"
            raise refusals.bad_request(message)
        before = self._store.get(call.resource.storage, call.namespace, call.name)
        if before is None:
            if call.subresource:
                raise refusals.not_found(label, call.name)
            return self._apply_new(call, patch)
        if call.subresource == "scale":
            return self._rescale(call, before, {**scales.scale_of(call, before), **patch})
        mine = (call.manager, call.subresource)
        seen = self._seen(call, before)
        if call.query.get("force") not in {"true", "1"}:
            _check_conflicts(call, seen, patch, before)
        wanted = patches.applied(seen, patch, before.applied.get(mine, {}), call.version.schema)
        applied = {**before.applied, mine: _without_version(patch)}
        return self._update(call, before, wanted, applied=applied)

    def _apply_new(self, call: Call, patch: Json) -> Outcome:
        meta = {**mapping(patch.get("metadata")), "name": call.name}
        outcome = self.create(call, {**patch, "metadata": meta}, [])
        if not call.dry_run:
            outcome.entry.applied = {(call.manager, ""): _without_version(patch)}
        return outcome

    def delete(self, call: Call, options: Json) -> Outcome:
        """Delete an object.

        Raises:
            Refusal: 404; 409 a precondition does not hold; 422 unknown options.
        """
        call.check_options()
        entry = self._existing(call)
        _check_preconditions(call, entry, mapping(options.get("preconditions")))
        if call.dry_run or options.get("dryRun"):
            return Outcome(entry=entry, gone=not deletion.finalizers(entry.body))
        policy = _policy(call, options)
        held = self._deleter.delete(call.resource.storage, entry, policy)
        return Outcome(entry=held or entry, gone=held is None)


def _edited(media_type: str, seen: Json, patch: Tree) -> Json:
    if media_type == calls.JSON_PATCH:
        return patches.json_patched(seen, patch)
    if not isinstance(patch, dict):
        message = "json: cannot unmarshal array into Go value of type map[string]interface {}"
        raise refusals.bad_request(message)
    if media_type == calls.STRATEGIC_PATCH:
        return strategic.merged(seen, patch)
    return mapping(patches.merged(seen, patch))


def _only_own_part(call: Call, body: Json, old: Json) -> Json:
    """Keep what the (sub)resource of the call may change, and the rest as it was."""
    if call.subresource in {"status", "finalize"}:
        kept = {**old}
        if "status" in body:
            kept["status"] = body["status"]
        else:
            kept.pop("status", None)
        if not call.resource.custom:
            kept["metadata"] = body["metadata"]
        return kept
    if not call.version.status:
        return {**body}
    kept = {key: value for key, value in body.items() if key != "status"}
    return {**kept, "status": old["status"]} if "status" in old else kept


def _terminating(call: Call, name: str) -> refusals.Refusal:
    label = call.resource.label
    why = (
        f"unable to create new content in namespace {call.namespace} because it is being terminated"
    )
    message = f'{label.resource} "{name}" is forbidden: {why}'
    cause = {
        "reason": "NamespaceTerminating",
        "message": f"namespace {call.namespace} is being terminated",
        "field": "metadata.namespace",
    }
    details = {**label.details(name), "causes": [cause]}
    return refusals.Refusal(403, "Forbidden", message, details=details)


def _without_version(patch: Json) -> Json:
    meta = {
        key: value
        for key, value in mapping(patch.get("metadata")).items()
        if key not in {"resourceVersion", "uid"}
    }
    return {**patch, "metadata": meta}


def _check_conflicts(call: Call, seen: Json, patch: Json, before: Entry) -> None:
    others: dict[str, list[Json]] = {}
    for (manager, _), configuration in before.applied.items():
        if manager != call.manager:
            others.setdefault(manager, []).append(configuration)
    found = patches.conflicts(seen, patch, others)
    if not found:
        return
    causes = [
        {
            "reason": "FieldManagerConflict",
            "message": f'conflict with "{manager}"',
            "field": "." + ".".join(path),
        }
        for manager, path in found
    ]
    listed = ", ".join(f"{one['message']}: {one['field']}" for one in causes)
    plural = "" if len(causes) == 1 else "s"
    message = f"Apply failed with {len(causes)} conflict{plural}: {listed}"
    raise refusals.Refusal(409, "Conflict", message, details={"causes": causes})


def _check_preconditions(call: Call, entry: Entry, wanted: Json) -> None:
    for key, word in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
        value, actual = wanted.get(key), entry.body["metadata"].get(key)
        if value is not None and value != actual:
            why = (
                f"Precondition failed: the {word} in the precondition ({value}) "
                f"does not match the {word} in record ({actual})"
            )
            raise refusals.conflict(call.resource.label, call.name, why)


def _policy(call: Call, options: Json) -> str:
    policy = options.get("propagationPolicy") or call.query.get("propagationPolicy")
    if policy is None and options.get("orphanDependents") is True:
        policy = deletion.ORPHAN
    if policy in {deletion.BACKGROUND, deletion.FOREGROUND, deletion.ORPHAN}:
        return str(policy)
    if policy:
        supported = '"Background", "Foreground", "Orphan"'
        message = f'Unsupported value: "{policy}": supported values: {supported}'
        cause = refusals.Cause(
            reason="FieldValueNotSupported", field="propagationPolicy", message=message
        )
        label = refusals.Label(group="meta.k8s.io", plural="", kind="DeleteOptions")
        raise refusals.invalid(label, "", [cause])
    return deletion.BACKGROUND
