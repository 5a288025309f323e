"""The JSON in an answer's text: the value that was meant, or none, in linear time."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from majordomo_cascade.structured import parsing
from majordomo_cascade.structured.parsing import find_json

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
CONTAINERS = VALUES.filter(lambda value: isinstance(value, dict | list) and bool(value))
PLAIN_PROSE = st.text(st.characters(codec="utf-8", exclude_characters='{}[]"`'), max_size=60)
ANY_PROSE = st.text(st.sampled_from('{}[]"`\\:,ab1 \n'), max_size=30)

MISSING = object()


def read(text: str) -> Any:
    found = find_json(text)
    return MISSING if found is None else found.value


@given(value=VALUES, indent=st.sampled_from([None, 2]), ascii_only=st.booleans())
def test_what_was_dumped_parses_back(value: Any, indent: int | None, ascii_only: bool) -> None:
    assert read(json.dumps(value, indent=indent, ensure_ascii=ascii_only)) == value


def test_letters_around_a_number_are_no_blanks() -> None:
    assert read(" \ufeff7\r\n") == 7
    assert read("X7X") is MISSING


@given(value=VALUES, language=st.sampled_from(["", "json", "JSON", "json5"]))
def test_in_a_fence_around_it_all(value: Any, language: str) -> None:
    assert read(f"\n```{language}\n{json.dumps(value)}\n```\n") == value


@given(
    value=CONTAINERS,
    before=PLAIN_PROSE,
    after=PLAIN_PROSE,
    fence=st.sampled_from(["", "\n```json\n", "```"]),
)
def test_in_plain_prose(value: Any, before: str, after: str, fence: str) -> None:
    assert read(f"{before}{fence}{json.dumps(value)}{fence}{after}") == value


@given(value=CONTAINERS, before=ANY_PROSE, after=ANY_PROSE)
@example(value={"a": 1}, before='[5" x] ', after="")
@example(value={"a": [1]}, before='{b: "', after='"}')
@example(value={"a": [1]}, before="[", after="}")
def test_in_any_prose_nothing_inside_the_value_is_taken_for_it(
    value: Any, before: str, after: str
) -> None:
    text = json.dumps(value)
    found = find_json(f"{before}{text}{after}")
    if found is None:
        return
    start = f"{before}{text}{after}".strip("\ufeff \t\r\n").rfind(found.text)
    inside = found.text in text and found.text != text
    assert not inside or found.text in before + after, (start, found)


@given(value=CONTAINERS, cut=st.integers(1, 200), before=PLAIN_PROSE)
def test_a_cut_answer_is_no_answer(value: Any, cut: int, before: str) -> None:
    text = json.dumps({"all": value})
    assert read(before + text[: max(1, len(text) - cut)]) is MISSING


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('The prompt said {"a": 0}, so: {"a": 1}', {"a": 1}),  # the last: the first may be quoted
        ('{"a": 1}\n\nI left out {}.', {"a": 1}),  # that isn't empty
        ("I found nothing: [] {}", []),  # unless there is no other
        ('{"a": 1} and then {"b": [2, 3', MISSING),  # cut
        ('{"a": 1} and then [1, 2', MISSING),
        ("[see below] [1]", [1]),  # brackets that are no JSON
        ("from [0, 1} to [1]", [1]),
        ('{"a": 1} ]}', {"a": 1}),
        ('{name: "x", "y": {"a": 1}}', MISSING),  # nothing inside what is no JSON
        ('{"a": 1,}', MISSING),  # by the letter
        ("{'a': 1}", MISSING),
        ('{"a": NaN}', MISSING),
        ("Infinity", MISSING),
        ("\ufeff[1]", [1]),
        ("\ufeff7", 7),
        ('[5" x] {"a]": [1] }', MISSING),  # strings out of step
        ("```json\n[1]\n```\ntext\n```json\n[2]\n```", [2]),
        ('```json\n{"code": "```"}\n```', {"code": "```"}),
        ('{"a": "\\"}{"}', {"a": '"}{'}),
        ('{"a": "it\'s ] fine }"} done', {"a": "it's ] fine }"}),
        ('{"a": 1, "a": 2}', {"a": 2}),  # the last, as json.loads has it
        ("1" * 5000, MISSING),  # more digits than Python converts
        ("", MISSING),
        ("no JSON at all", MISSING),
    ],
)
def test_what_is_taken(text: str, expected: Any) -> None:
    assert read(text) == expected or (read(text) is MISSING and expected is MISSING)


HOSTILE = {
    "open brackets": "[" * 1_000_000,
    "open braces": '{"a":' * 200_000,
    "nested and closed": "[" * 500_000 + "]" * 500_000,
    "small lists": "[1]" * 300_000,
    "broken lists": "[x]" * 300_000,
    "quotes": '["' * 500_000,
    "escaped quotes": '["' + '\\"' * 500_000,
    "backslashes": "[" + '"\\' * 500_000,
    "fences": "```json\n" * 100_000,
    "closers": "]" * 1_000_000,
    "newlines": "[\n" * 500_000,
}


class Counting:
    """A pattern that counts the characters it looks at."""

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self.pattern, self.seen = pattern, 0

    def search(self, text: str, start: int = 0) -> Any:
        found = self.pattern.search(text, start)
        self.seen += (found.end() if found else len(text)) - start
        return found

    def finditer(self, text: str, start: int) -> Any:
        for found in self.pattern.finditer(text, start):
            self.seen += found.end() - start
            start = found.end()
            yield found

    def fullmatch(self, text: str) -> Any:
        self.seen += len(text)
        return self.pattern.fullmatch(text)


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_megabyte_is_read_once(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted, not timed: no pattern may look at the text again from every place."""
    patterns = {name: each for name, each in vars(parsing).items() if isinstance(each, re.Pattern)}
    counters = {name: Counting(pattern) for name, pattern in patterns.items()}
    for name, counter in counters.items():
        monkeypatch.setattr(parsing, name, counter)
    read(text)
    assert counters
    assert all(counter.seen <= 2 * len(text) for counter in counters.values())


def test_a_value_nested_more_deeply_than_python_reads_is_no_answer() -> None:
    assert read("[" * 100_000 + "]" * 100_000) is MISSING
    assert read("So: " + "[" * 100_000 + "]" * 100_000) is MISSING
