"""Selectors: which objects a list or watch is about, by labels and by fields."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from rollout.sandbox.apiserver import refusals
from rollout.sandbox.apiserver.trees import Json, Tree, dig_dotted, mapping

Predicate = Callable[[Json], bool]
_LabelTest = Callable[[Mapping[str, Tree]], bool]

SELECTOR_LIMIT_BYTES = 64 * 1024  # a selector longer than a URL may be is a mistake

_SET = re.compile(
    r"\s*(?P<key>[^\s!=<>,()]+)\s+(?P<word>in|notin)\s*\((?P<values>[^()]*)\)\s*(,|$)"
)
_COMPARE = re.compile(
    r"\s*(?P<key>[^\s!=<>,()]+)\s*(?P<word>==|=|!=|>|<)\s*(?P<value>[^\s!=<>,()]*)\s*(,|$)"
)
_EXISTS = re.compile(r"\s*(?P<absent>!?)\s*(?P<key>[^\s!=<>,()]+)\s*(,|$)")
_NAME = re.compile(r"([a-zA-Z0-9]([-a-zA-Z0-9_.]*[a-zA-Z0-9])?)?")
_KEY = re.compile(r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[a-zA-Z0-9]([-a-zA-Z0-9_.]*[a-zA-Z0-9])?")


def labels(text: str) -> Predicate | None:
    """Compile a label selector, equality or set based; None when it selects everything.

    Raises:
        Refusal: 400, it cannot be parsed.
    """
    if not text.strip():
        return None
    tests: list[_LabelTest] = []
    position = 0
    while position < len(text):
        test, position = _requirement(text, position)
        tests.append(test)

    def matches(body: Json) -> bool:
        present = mapping(mapping(body.get("metadata")).get("labels"))
        return all(test(present) for test in tests)

    return matches


def _requirement(text: str, position: int) -> tuple[_LabelTest, int]:
    if match := _SET.match(text, position):
        values = frozenset(value.strip() for value in match["values"].split(","))
        return _within(_key(match["key"]), values, inside=match["word"] == "in"), match.end()
    if match := _COMPARE.match(text, position):
        return _compare(_key(match["key"]), match["word"], match["value"]), match.end()
    if match := _EXISTS.match(text, position):
        return _presence(_key(match["key"]), wanted=not match["absent"]), match.end()
    message = f"unable to parse requirement: found {text[position:]!r}"
    raise refusals.bad_request(message)


def _key(text: str) -> str:
    if _KEY.fullmatch(text) is None:
        message = (
            f'unable to parse requirement: <nil>: Invalid value: "{text}": name part must consist '
            "of alphanumeric characters, '-', '_' or '.', and must start and end with an "
            "alphanumeric character"
        )
        raise refusals.bad_request(message)
    return text


def _within(key: str, values: frozenset[str], *, inside: bool) -> _LabelTest:
    if inside:
        return lambda present: present.get(key) in values
    return lambda present: present.get(key) not in values  # an absent label is "notin"


def _presence(key: str, *, wanted: bool) -> _LabelTest:
    return lambda present: (key in present) is wanted


def _compare(key: str, word: str, value: str) -> _LabelTest:
    if word in {">", "<"}:
        return _ordered(key, word, value)
    if _NAME.fullmatch(value) is None or len(value) > 63:
        message = (
            f'unable to parse requirement: values[0][{key}]: Invalid value: "{value}": '
            "a valid label must be an empty string or consist of alphanumeric characters, "
            "'-', '_' or '.', and must start and end with an alphanumeric character"
        )
        raise refusals.bad_request(message)
    if word == "!=":
        return lambda present: present.get(key) != value
    return lambda present: present.get(key) == value


def _ordered(key: str, word: str, value: str) -> _LabelTest:
    try:
        bound = int(value)
    except ValueError:
        message = (
            f'unable to parse requirement: values[0][{key}]: Invalid value: "{value}": '
            "for 'Gt', 'Lt' operators, the value must be an integer"
        )
        raise refusals.bad_request(message) from None

    def test(present: Mapping[str, Tree]) -> bool:
        try:
            number = int(present.get(key, ""))
        except ValueError:
            return False
        return number > bound if word == ">" else number < bound

    return test


_FIELD = re.compile(r"(?P<path>[^=!,]+)(?P<word>==|=|!=)(?P<value>(?:\\.|[^,\\])*)(,|$)")


def fields(text: str, known: frozenset[str]) -> Predicate | None:
    """Compile a field selector over the paths in `known`; None when it selects everything.

    Raises:
        Refusal: 400, it cannot be parsed or asks for a field that cannot be selected by.
    """
    if not text.strip():
        return None
    tests: list[tuple[str, bool, str]] = []
    position = 0
    while position < len(text):
        match = _FIELD.match(text, position)
        if match is None:
            message = f"invalid selector: '{text}'; can't understand '{text}'"
            raise refusals.bad_request(message)
        path = match["path"].strip()
        if path not in known:
            message = f"field label not supported: {path}"
            raise refusals.bad_request(message)
        tests.append((path, match["word"] != "!=", re.sub(r"\\(.)", r"\1", match["value"])))
        position = match.end()

    def matches(body: Json) -> bool:
        return all((_field_text(body, path) == value) is wanted for path, wanted, value in tests)

    return matches


def exact_field(text: str, path: str) -> str | None:
    """Return the value a field selector demands of `path`, if it demands one."""
    for match in _FIELD.finditer(text):
        if match["path"].strip() == path and match["word"] != "!=":
            return re.sub(r"\\(.)", r"\1", match["value"])
    return None


def _field_text(body: Json, path: str) -> str:
    value = dig_dotted(body, path)
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
