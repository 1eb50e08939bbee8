"""How Slack is talked to."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What an operator gives.

    Proxies named in the environment are not looked at, as the library would do, which does not
    know ``NO_PROXY``.

    Attributes:
        bot_token: ``xoxb-…``; what messages are posted with.
        app_token: ``xapp-…``; what a socket for presses is opened with. Empty: none is.
        api_url: where the Web API is; another one for Slack's separate clouds, and in tests.
        hooks_url: how addresses begin that answers to a press may be sent to.
        proxy: an HTTP proxy for all of it; empty: none.
        request_seconds: for one call, its connection included.
        connect_seconds: for a connection.
        heartbeat_seconds: between two pings over the socket; half of it is given to the answer.
        hello_seconds: until a new socket has to say that it can be used.
        back_off_seconds: after the first socket that failed at once; doubled with each.
    """

    bot_token: str = field(repr=False)
    app_token: str = field(default="", repr=False)
    api_url: str = "https://slack.com/api/"
    hooks_url: str = "https://hooks.slack.com/"
    proxy: str = ""
    request_seconds: float = 10.0
    connect_seconds: float = 3.0
    heartbeat_seconds: float = 15.0
    hello_seconds: float = 10.0
    back_off_seconds: float = 1.0
