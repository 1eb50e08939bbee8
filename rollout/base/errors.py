"""Every error of ours, in one tree.

::

    RolloutError
    ├── BadInput                 somebody's text, file or manifest is wrong; do not try again
    │   ├── BadQuantity          a duration or percent cannot be read
    │   ├── BadManifest          an object's field is wrong: names object, field and remedy
    │   ├── UnknownName          a person names what is not there; names what is
    │   └── OutOfPlace           a command makes no sense in the present state
    ├── Retry                    the world was not ready; back off and try again
    │   ├── Conflict             somebody else wrote first: decide again on the new version
    │   ├── Unreachable          a server did not answer, or not in time
    │   ├── Overloaded           a server asked us to come back later
    │   ├── Uncertain            a server may have done it: look before asking again
    │   └── Unanswered           a command was given and nobody has answered it in time
    ├── Terminal                 a server refused for good; do not repeat unchanged
    │   ├── NotFound             the object or the kind is not there
    │   ├── Gone                 the resource version is too old: list again
    │   ├── Denied               an admission webhook, policy or RBAC said no
    │   ├── ChatRefused          the chat said no, with a code that says to whom that matters
    │   ├── HookRefused          an address that was posted to said no
    │   └── CannotStart          a process of the sandbox is missing or did not come up
    └── BrokenAnswer             a server answered something that cannot be used

Errors carry data; the sentence is made once, in ``__str__``.
"""

from __future__ import annotations

from typing import Literal


class RolloutError(Exception):
    """The root: anything that goes wrong and that we foresaw."""


class BadInput(RolloutError):
    """Somebody's text, file or manifest is wrong; trying again does not help."""


class BadQuantity(BadInput):
    """A duration or percent cannot be read."""

    def __init__(self, text: str, *, wanted: str) -> None:
        super().__init__(text, wanted)
        self.text = text
        self.wanted = wanted

    def __str__(self) -> str:
        return f"{self.text!r} is not {self.wanted}"


class BadManifest(BadInput):
    """An object's field is wrong.

    Attributes:
        subject: what is wrong, ``namespace/name`` or a file; empty where the reader knows it.
        field: path of the field, such as ``spec.strategy.steps[2].hold``.
        problem: what is wrong with it, without a full stop.
        remedy: what to do instead, an imperative without a full stop.
    """

    def __init__(self, *, subject: str = "", field: str, problem: str, remedy: str) -> None:
        super().__init__(subject, field, problem, remedy)
        self.subject = subject
        self.field = field
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        where = f"{self.subject}: {self.field}" if self.subject else self.field
        return f"{where} {self.problem}; {self.remedy}"


class UnknownName(BadInput):
    """A person names what is not there.

    Attributes:
        what: the kind and the name as it was given, such as ``Rollout shop/revews``.
        remedy: what to do instead, without a full stop; empty when there is nothing to suggest.
    """

    def __init__(self, *, what: str, remedy: str = "") -> None:
        super().__init__(what, remedy)
        self.what = what
        self.remedy = remedy

    def __str__(self) -> str:
        words = f"{self.what} does not exist"
        return f"{words}; {self.remedy}" if self.remedy else words


class OutOfPlace(BadInput):
    """A command makes no sense in the present state, or was refused.

    Attributes:
        subject: what it was said to, such as ``shop/reviews``.
        why: what is in the way, without a full stop.
        remedy: what to do instead, without a full stop; empty when there is nothing to suggest.
    """

    def __init__(self, *, subject: str, why: str, remedy: str = "") -> None:
        super().__init__(subject, why, remedy)
        self.subject = subject
        self.why = why
        self.remedy = remedy

    def __str__(self) -> str:
        words = f"{self.subject}: {self.why}"
        return f"{words}; {self.remedy}" if self.remedy else words


class Retry(RolloutError):
    """The world was not ready; back off and try again."""


class Conflict(Retry):
    """Somebody else wrote first: decide again on the new version."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what

    def __str__(self) -> str:
        return f"{self.what} was changed by somebody else meanwhile"


class Unreachable(Retry):
    """A server did not answer, or not in time."""

    def __init__(self, server: str, *, why: str) -> None:
        super().__init__(server, why)
        self.server = server
        self.why = why

    def __str__(self) -> str:
        return f"{self.server} cannot be reached: {self.why}"


class Overloaded(Retry):
    """A server asked us to come back later.

    Attributes:
        retry_after_seconds: how long the server wants to be left alone; 0 if it did not say.
    """

    def __init__(self, server: str, *, retry_after_seconds: float) -> None:
        super().__init__(server, retry_after_seconds)
        self.server = server
        self.retry_after_seconds = retry_after_seconds

    def __str__(self) -> str:
        return f"{self.server} is overloaded and asks to wait {self.retry_after_seconds:g} s"


class Uncertain(Retry):
    """A server may have done what it was asked, and may not: look before asking again.

    Attributes:
        what: what was asked, such as ``chat.postMessage in C0123``.
        why: what happened instead of an answer, without a full stop.
    """

    def __init__(self, server: str, *, what: str, why: str) -> None:
        super().__init__(server, what, why)
        self.server = server
        self.what = what
        self.why = why

    def __str__(self) -> str:
        return f"{self.server} may have done {self.what}, and may not: {self.why}"


class Unanswered(Retry):
    """A command was given and nobody has answered it in time.

    Attributes:
        what: the command, such as ``RolloutAction shop/reviews-0123``.
        waited_seconds: how long was waited.
        remedy: what to look at, without a full stop.
    """

    def __init__(self, *, what: str, waited_seconds: float, remedy: str) -> None:
        super().__init__(what, waited_seconds, remedy)
        self.what = what
        self.waited_seconds = waited_seconds
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.what} has had no answer for {self.waited_seconds:g} s; {self.remedy}"


class Terminal(RolloutError):
    """A server refused for good; do not repeat the same request unchanged."""


class NotFound(Terminal):
    """The object or the kind is not there."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what

    def __str__(self) -> str:
        return f"{self.what} does not exist"


class Gone(Terminal):
    """The resource version is too old to continue from: list again."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what

    def __str__(self) -> str:
        return f"the history of {self.what} does not go back that far"


class Denied(Terminal):
    """An admission webhook, a policy, the schema or RBAC said no.

    Attributes:
        status_code: the HTTP status of the answer.
        message: the server's own sentence.
    """

    def __init__(self, what: str, *, status_code: int, message: str) -> None:
        super().__init__(what, status_code, message)
        self.what = what
        self.status_code = status_code
        self.message = message

    def __str__(self) -> str:
        return f"writing {self.what} was refused: {self.message}"


class ChatRefused(Terminal):
    """The chat said no.

    Attributes:
        what: what was asked, such as ``chat.postMessage in C0123``.
        code: the chat's own word for the reason, such as ``not_in_channel``.
        fault: whose it is. ``setup``: an operator has to mend something, once for all messages;
            ``content``: this message cannot be shown; ``gone``: the message that was meant is not
            there any more, or cannot be changed any more; ``late``: it had to be asked sooner.
        remedy: what to do, an imperative without a full stop; empty when there is nothing.
    """

    def __init__(
        self,
        what: str,
        *,
        code: str,
        fault: Literal["setup", "content", "gone", "late"],
        remedy: str = "",
    ) -> None:
        super().__init__(what, code, fault, remedy)
        self.what = what
        self.code = code
        self.fault: Literal["setup", "content", "gone", "late"] = fault
        self.remedy = remedy

    def __str__(self) -> str:
        words = f"the chat refused {self.what}: {self.code}"
        return f"{words}; {self.remedy}" if self.remedy else words


class CannotStart(Terminal):
    """A process of the sandbox is missing, ended at once, or was not ready in time.

    Attributes:
        why: what happened or what to do, without a full stop.
        log: the last lines it printed; empty when there are none.
    """

    def __init__(self, process: str, *, why: str, log: str = "") -> None:
        super().__init__(process, why, log)
        self.process = process
        self.why = why
        self.log = log

    def __str__(self) -> str:
        words = f"{self.process} did not come up: {self.why}"
        return f"{words}; its last lines:\n{self.log}" if self.log else words


class HookRefused(Terminal):
    """An address that was posted to said no.

    Attributes:
        url: the server, without the path: it may be secret.
        status_code: the HTTP status of the answer.
        told: the begin of what it said.
    """

    def __init__(self, url: str, *, status_code: int, told: str) -> None:
        super().__init__(url, status_code, told)
        self.url = url
        self.status_code = status_code
        self.told = told

    def __str__(self) -> str:
        said = f": {self.told}" if self.told else ""
        return f"{self.url} answered {self.status_code}{said}"


class BrokenAnswer(RolloutError):
    """A server answered something that cannot be used."""

    def __init__(self, server: str, *, why: str) -> None:
        super().__init__(server, why)
        self.server = server
        self.why = why

    def __str__(self) -> str:
        return f"{self.server} gave an answer that cannot be used: {self.why}"
