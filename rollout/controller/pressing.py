"""Makes commands of what people press in Slack, and tells them alone what came of it.

A press becomes a RolloutAction like any other command, so that one engine decides and one record
says who did it. Who pressed is certain; who that is here is what Slack tells of the member: the
e-mail, which RBAC knows, else nobody; approvers may also be named by Slack's own ids.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import structlog

from rollout.api.action import ActionSpec, ActionStatus, Verb, action_name
from rollout.api.chat import Member, Message, Press, Pressed, Standing
from rollout.api.meta import ROLLOUT_ACTION, Key, Manifest
from rollout.api.reading import read
from rollout.api.status import RolloutStatus, Run
from rollout.base.errors import BadInput, BadManifest, Conflict, RolloutError
from rollout.controller.world import World
from rollout.engine import approvals
from rollout.ports import Chat, Clock, Cluster
from rollout.views import slack_answers, slack_ask, subject
from rollout.views.slack_ask import Ask

VIA = approvals.SLACK

ANSWER_SECONDS_MAX = 15.0
"""How long the answer to a command is waited for; it is seen at the head of the thread later."""

LOOK_SECONDS = 0.2
"""Between two looks whether a command has its answer."""

EXPLAINED = frozenset({Verb.ABORT, Verb.REJECT})
"""Commands that open a form for a reason before they are given."""

RIGHTS = {
    Verb.ABORT: "abort",
    Verb.PROMOTE: "promote",
    Verb.PROMOTE_FULL: "promote",
    Verb.PAUSE: "promote",
    Verb.RESUME: "promote",
    Verb.RETRY: "promote",
}
"""What RBAC calls the right to give a command. Who may approve is what the run itself says."""

REASON_LENGTH_MAX = 1024
"""As commands have it."""

SEQUENCES_COUNT = 1_000_000
"""A press that is delivered twice is one command: its number comes from the press."""

RETRY_SECONDS = 60.0
"""How long a socket that cannot be had is not asked for again."""

log = structlog.get_logger(__name__)


class Presser:
    """Handles presses; several at a time.

    Args:
        chat: Slack.
        cluster: takes commands, and knows who may give which.
        world: Rollouts and commands as they stand.
        clock: time.
        leads: whether this process is the one that decides, so that its answers are waited for.
        knows: whether the caches are filled: before, nobody can tell what a press is about.
    """

    def __init__(
        self,
        chat: Chat,
        cluster: Cluster,
        world: World,
        clock: Clock,
        *,
        leads: Callable[[], bool],
        knows: Callable[[], bool],
    ) -> None:
        self._chat = chat
        self._cluster = cluster
        self._world = world
        self._clock = clock
        self._leads = leads
        self._knows = knows

    async def run(self) -> None:
        """Hold the socket, for ever; where none can be had, say why now and then."""
        while True:
            try:
                await self._chat.serve(self.handle)
            except RolloutError as error:
                log.warning("presses in Slack do not reach us", because=str(error))
                await self._clock.sleep(RETRY_SECONDS)

    async def handle(self, press: Press) -> None:
        """Keep a press as a command, acknowledge it, and tell whoever pressed what came of it."""
        if not self._knows():
            return  # not acknowledged: Slack shows that it failed
        try:
            ask = slack_ask.read(press.value)
        except BadInput as error:
            await press.ack()
            await self._say(press, slack_answers.failed(None, because=str(error)))
            return
        try:
            message = await self._obey(press, ask)
        except RolloutError as error:
            # Not acknowledged: Slack shows that it failed, and it may be pressed once more.
            log.warning("a press was not kept", rollout=str(ask.key), because=str(error))
            message = slack_answers.failed(ask, because=str(error))
        except Exception:
            # A defect of ours in one press must not take the controller down with it.
            log.exception("a press crashed", rollout=str(ask.key))
            message = slack_answers.failed(ask, because="something went wrong here; it is logged")
        if message is not None:
            await self._say(press, message)

    async def _obey(self, press: Press, ask: Ask) -> Message | None:
        manifest = self._world.rollouts.get(ask.key)
        if manifest is None or manifest["metadata"].get("uid") != ask.uid:
            await press.ack()
            return slack_answers.over(ask, None)
        status = subject.read(manifest).status
        if not _is_present(ask, status):
            await press.ack()
            return slack_answers.over(ask, status)
        if press.what is Pressed.BUTTON and ask.verb in EXPLAINED:
            dialog = slack_answers.reason_dialog(ask, spot=press.spot, thread=press.thread)
            await self._chat.open_dialog(press, dialog)
            await press.ack()
            return None
        if press.what is Pressed.DIALOG and slack_answers.must_explain(ask.verb):
            problem = slack_answers.reason_problem(press.reason)
            if problem:
                await press.ack(problem)
                return None
        run = status.run
        assert run is not None, "it was compared with the press"
        member = await self._chat.who(press.member, groups=_groups_of(run))
        if member.standing is not Standing.MEMBER:
            await press.ack()
            return slack_answers.no_member(member.standing)
        refused = await self._may_not(member, ask)
        if refused:
            await press.ack()
            return slack_answers.may_not(refused)
        name = await self._keep(press, ask, member)
        await press.ack()
        return await self._answer(ask, name)

    async def _may_not(self, member: Member, ask: Ask) -> str:
        """Why somebody may not command; empty: they may, or the engine says."""
        right = RIGHTS.get(ask.verb)
        if right is None:
            return ""
        if not member.email:
            return (
                "Slack does not tell your e-mail address, which is how the cluster knows people; "
                "use `rollout` on the command line"
            )
        if await self._cluster.may(user=member.email, groups=(), verb=right, key=ask.key):
            return ""
        return f"{member.email} has no right to {right} rollout {ask.key} in the cluster (RBAC)"

    async def _keep(self, press: Press, ask: Ask, member: Member) -> str:
        """The name of the RolloutAction that the press is kept as."""
        digest = hashlib.sha256(press.id.encode()).hexdigest()
        spec = ActionSpec(
            rollout=ask.key.name,
            run=ask.run,
            step=ask.step,
            verb=ask.verb,
            actor=member.email or f"{VIA}:{member.id}",
            groups=tuple(f"{VIA}:{one}" for one in (member.id, *sorted(member.groups))),
            sequence=int(digest[:12], 16) % SEQUENCES_COUNT,
            via=VIA,
            reason=press.reason[:REASON_LENGTH_MAX],
        )
        name = action_name(spec, uid=ask.uid)
        action: Manifest = {
            "apiVersion": ROLLOUT_ACTION.api_version,
            "kind": ROLLOUT_ACTION.kind,
            "metadata": {"name": name, "namespace": ask.key.namespace},
            "spec": spec.model_dump(mode="json", by_alias=True, exclude_none=True),
        }
        try:
            await self._cluster.create(ROLLOUT_ACTION, action)
        except Conflict:
            log.info("a press came twice", rollout=str(ask.key), action=name)
        return name

    async def _answer(self, ask: Ask, name: str) -> Message | None:
        """What the engine said; what was obeyed is seen by all and needs no word here."""
        key = Key(ask.key.namespace, name)
        waited_seconds = 0.0
        while self._leads() and waited_seconds < ANSWER_SECONDS_MAX:
            answer = _answer_of(self._world.actions.get(key))
            if answer is not None:
                return slack_answers.answered(answer.outcome, answer.message)
            await self._clock.sleep(LOOK_SECONDS)
            waited_seconds += LOOK_SECONDS
        return slack_answers.taken(ask)

    async def _say(self, press: Press, message: Message) -> None:
        try:
            await self._chat.whisper(press, message)
        except RolloutError as error:
            log.info("an answer was not told", member=press.member, because=str(error))


def _is_present(ask: Ask, status: RolloutStatus) -> bool:
    """Whether a press is about what is so now: a button may be of an older message."""
    run = status.run
    if run is None or run.id != ask.run:
        return False
    if ask.verb is Verb.RETRY:
        return run.ended_at is not None
    named = ask.verb in {Verb.PROMOTE, Verb.RESUME, Verb.APPROVE, Verb.REJECT}
    return run.ended_at is None and (not named or run.step == ask.step)


def _groups_of(run: Run) -> frozenset[str]:
    """Slack's user groups that may approve anything in a run."""
    asked = (step.approval for step in run.plan.strategy.steps)
    return frozenset(group for one in asked if one for group in one.approvers.slack_groups)


def _answer_of(action: Manifest | None) -> ActionStatus | None:
    status = (action or {}).get("status") or {}
    if not status.get("outcome"):
        return None
    try:
        return read(ActionStatus, status, at="status")
    except BadManifest:
        return None
