"""The verbs that steer a run, with their help: set, promote, approve, reject, abort and so on."""

from __future__ import annotations

import typer

from rollout.cli import options
from rollout.cli.place import Place
from rollout.cli.registering import registering

# As in `rollout.cli.main`, imports inside of the verbs are on purpose.
# ruff: noqa: PLC0415

app = typer.Typer()

_verb = registering(app)


@_verb(
    "set",
    "rollout set reviews v2",
    'rollout set reviews v2 --reason "ticket 4711"',
    short="Ask for another revision; the run begins.",
)
def _set(
    place: Place,
    *,
    name: options.Name,
    revision: options.Revision,
    reason: options.Reason = "",
    dry_run: options.DryRun = False,
) -> None:
    """Ask for a revision: sets spec.revision, which starts a run.

    In mid-run another revision takes the traffic back first; the stable one ends the run.
    """
    from rollout.cli import commanding

    words = commanding.Words(reason=reason, dry_run=dry_run)
    commanding.set_revision(place, name, revision, words)


@_verb(
    "promote",
    "rollout promote reviews",
    'rollout promote reviews --full --reason "seen enough"',
    short="End the present step; --full goes to 100 %.",
)
def _promote(
    place: Place,
    *,
    name: options.Name,
    full: options.Full = False,
    run: options.RunId = "",
    step: options.StepNumber = None,
    reason: options.Reason = "",
    timeout: options.Timeout = "30s",
    dry_run: options.DryRun = False,
) -> None:
    """End the present step, or with --full go to 100 % at once; never past a failing gate."""
    from rollout.cli import commanding

    words = commanding.Words(run=run, step=step, reason=reason, timeout=timeout, dry_run=dry_run)
    commanding.promote(place, name, words, full=full)


@_verb(
    "approve",
    "rollout approve reviews",
    'rollout approve reviews --reason "seen in staging"',
    "rollout approve reviews --run 14 --step 3",
    short="Say yes to the approval that a run waits for.",
)
def _approve(
    place: Place,
    *,
    name: options.Name,
    run: options.RunId = "",
    step: options.StepNumber = None,
    reason: options.Reason = "",
    timeout: options.Timeout = "30s",
    dry_run: options.DryRun = False,
) -> None:
    """Say yes to the approval that a run waits for; what is approved is shown before.

    That is the step at which the run is now, and no other: a yes that comes too late does nothing.
    Who may is written in the plan of the run; who is refused is told who else may.
    """
    from rollout.cli import approving, commanding

    words = commanding.Words(run=run, step=step, reason=reason, timeout=timeout, dry_run=dry_run)
    approving.approve(place, name, words)


@_verb(
    "reject",
    'rollout reject reviews --reason "the release notes are missing"',
    short="Say no to it: all traffic goes back.",
)
def _reject(
    place: Place,
    *,
    name: options.Name,
    run: options.RunId = "",
    step: options.StepNumber = None,
    reason: options.Reason = "",
    timeout: options.Timeout = "30s",
    dry_run: options.DryRun = False,
) -> None:
    """Say no to the approval that a run waits for: the run ends, and all traffic goes back.

    A rejection says why: with --reason, or when asked in a terminal.
    """
    from rollout.cli import approving, commanding

    words = commanding.Words(run=run, step=step, reason=reason, timeout=timeout, dry_run=dry_run)
    approving.reject(place, name, words)


@_verb(
    "abort",
    "rollout abort reviews",
    'rollout abort reviews --reason "checkout is slow"',
    short="Take all traffic back, at once.",
)
def _abort(
    place: Place,
    *,
    name: options.Name,
    run: options.RunId = "",
    reason: options.Reason = "",
    timeout: options.Timeout = "30s",
    dry_run: options.DryRun = False,
) -> None:
    """Take all traffic back to the stable revision; returns when the canary gets none any more.

    Works whatever pods, metrics or earlier steps look like.
    """
    from rollout.cli import commanding

    words = commanding.Words(run=run, reason=reason, timeout=timeout, dry_run=dry_run)
    commanding.abort(place, name, words)


@_verb(
    "pause",
    'rollout pause reviews --reason "until the sale is over"',
    short="Stay at the present weight.",
)
def _pause(
    place: Place,
    *,
    name: options.Name,
    run: options.RunId = "",
    reason: options.Reason = "",
    timeout: options.Timeout = "30s",
    dry_run: options.DryRun = False,
) -> None:
    """Stay at the present weight until somebody resumes; a failing gate still takes it back."""
    from rollout.cli import commanding

    words = commanding.Words(run=run, reason=reason, timeout=timeout, dry_run=dry_run)
    commanding.pause(place, name, words)


@_verb("resume", "rollout resume reviews", short="Let a paused run go on.")
def _resume(
    place: Place,
    *,
    name: options.Name,
    run: options.RunId = "",
    step: options.StepNumber = None,
    reason: options.Reason = "",
    timeout: options.Timeout = "30s",
    dry_run: options.DryRun = False,
) -> None:
    """Let a paused run go on."""
    from rollout.cli import commanding

    words = commanding.Words(run=run, step=step, reason=reason, timeout=timeout, dry_run=dry_run)
    commanding.resume(place, name, words)


@_verb("retry", "rollout retry reviews", short="Run a revision again that was taken back.")
def _retry(
    place: Place,
    *,
    name: options.Name,
    run: options.RunId = "",
    reason: options.Reason = "",
    timeout: options.Timeout = "30s",
    dry_run: options.DryRun = False,
) -> None:
    """Run a revision again that was rolled back or aborted."""
    from rollout.cli import commanding

    words = commanding.Words(run=run, reason=reason, timeout=timeout, dry_run=dry_run)
    commanding.retry(place, name, words)


@_verb("undo", "rollout undo reviews", short="Go back to the revision that was stable before.")
def _undo(
    place: Place,
    *,
    name: options.Name,
    reason: options.Reason = "",
    timeout: options.Timeout = "30s",
    dry_run: options.DryRun = False,
) -> None:
    """Go back to the revision that was stable before.

    At once if that is recent, else by the ladder.

    Recent means within strategy.undoWindow: 24h, unless the Rollout says otherwise.
    """
    from rollout.cli import commanding

    words = commanding.Words(reason=reason, timeout=timeout, dry_run=dry_run)
    commanding.undo(place, name, words)
