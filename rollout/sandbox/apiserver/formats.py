"""The string formats that kube-apiserver checks; an unknown format checks nothing."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import ipaddress
import re
from collections.abc import Callable

from jsonschema import FormatChecker

from rollout.sandbox.apiserver.trees import Tree

_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")
_UUID = re.compile(r"(?i)[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}")
_DURATION = re.compile(  # either sign of "micro" is common
    r"[+-]?0|[+-]?((\d+(\.\d*)?|\.\d+)(ns|[u\u00b5\u03bc]s|ms|s|m|h|d|w))+|P(?=.)(\d+[YMWD])*(T(\d+[HMS])+)?"
)


def _date_time(text: str) -> bool:
    if _DATE_TIME.fullmatch(text) is None:
        return False
    return _parses(dt.datetime.fromisoformat, text.upper().replace("Z", "+00:00"))


def _parses(parse: Callable[[str], object], text: str) -> bool:
    try:
        parse(text)
    except ValueError:
        return False
    return True


def _base64(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


CHECKS: dict[str, Callable[[str], bool]] = {
    "date-time": _date_time,
    "date": lambda text: len(text) == 10 and _parses(dt.date.fromisoformat, text),
    "uuid": lambda text: _UUID.fullmatch(text) is not None,
    "duration": lambda text: _DURATION.fullmatch(text) is not None,
    "ipv4": lambda text: _parses(ipaddress.IPv4Address, text),
    "ipv6": lambda text: _parses(ipaddress.IPv6Address, text),
    "byte": _base64,
}

CHECKER = FormatChecker(formats=())


def _register(name: str, check: Callable[[str], bool]) -> None:
    def conforms(value: Tree) -> bool:
        return not isinstance(value, str) or check(value)

    CHECKER.checkers[name] = (conforms, ())


for _name, _check in CHECKS.items():
    _register(_name, _check)
