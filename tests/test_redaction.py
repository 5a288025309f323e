"""Keys in other people's texts: which are known, and how they are blotted out."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from majordomo_cascade.redaction import LONGEST_TEXT, brings_credentials, known_keys, redact

KEY = "sk-123456789abcd"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("as it is", "as it is"),
        ("", ""),
        ("  on \r\n\t one\x00line \u2028", "on one line"),
        ("\u200bé", "é"),
        (f"your key {KEY}!", "your key […]!"),
        (f"{KEY}{KEY} {KEY}", "[…][…] […]"),
        (KEY[:-1], KEY[:-1]),
    ],
)
def test_a_text_is_shown_on_one_printable_line_without_the_key(text: str, shown: str) -> None:
    assert redact(text, [KEY]) == shown


@pytest.mark.parametrize("key", [KEY, 'k/"quoted"', "line\nbreak", "k=1&l=2 3", "ключ-ключ"])
def test_a_key_is_found_as_json_and_urls_spell_it(key: str) -> None:
    for spelling in (key, json.dumps(key)[1:-1], quote(key, safe="")):
        assert redact(f"<{spelling}>", [key]) == "<[…]>"


def test_a_key_that_holds_another_is_blotted_out_whole() -> None:
    assert redact(f"<{KEY}>", [KEY, KEY[3:12]]) == "<[…]>"
    assert redact(f"<{KEY}>", [KEY[3:12], KEY]) == "<[…]>"


def test_a_short_key_is_not_told_from_other_words() -> None:
    assert redact("the 1234567 and the 12345678", ["1234567", "12345678", ""]) == (
        "the 1234567 and the […]"
    )


def test_a_key_that_is_no_text_in_unicode_is_no_problem() -> None:
    assert redact("fine", ["\udc80-from-the-environment"]) == "fine"


def test_a_long_text_is_cut() -> None:
    assert redact("x" * LONGEST_TEXT, []) == "x" * LONGEST_TEXT
    assert redact("x" * 100_000, []) == "x" * LONGEST_TEXT + "…"
    assert redact("one two", [], 7) == "one two"
    assert redact("one two", [], 6) == "one tw…"


def test_a_key_at_the_end_of_what_is_shown_is_not_cut_in_two() -> None:
    for before in ("x" * (LONGEST_TEXT - 10), KEY * 1000):
        assert KEY[:9] not in redact(before + KEY + "y", [KEY])


def found(sent: dict[str, Any], *links: BaseException) -> set[str]:
    return {key for key in known_keys(sent, links) if "the-key" in key}


@pytest.mark.parametrize(
    "sent",
    [
        {"api_key": "the-key"},
        {"aws_secret_access_key": "the-key"},
        {"azure_ad_token": "the-key"},
        {"extra_headers": {"x-api-key": "the-key"}},
        {"headers": {"Authorization": "Bearer the-key"}},
        {"api_base": "https://user:the-key@host/v1"},
    ],
    ids=repr,
)
def test_the_keys_of_a_request_are_known(sent: dict[str, Any]) -> None:
    assert "the-key" in found(sent)


def test_the_keys_of_the_environment_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_VENDOR_API_KEY", "the-key")
    assert found({}) == {"the-key"}


def test_the_keys_that_went_over_the_wire_are_known() -> None:
    request = httpx.Request("POST", "http://host", headers={"authorization": "Bearer the-key"})
    error = httpx.HTTPStatusError("401", request=request, response=httpx.Response(401))
    assert found({}, ValueError(), error) == {"the-key", "Bearer the-key"}


def test_nothing_but_keys_is_known() -> None:
    sent = {
        "api_base": "https://the-key.host/v1",
        "user": "the-key",
        "max_tokens": 5,
        "api_key": None,
    }
    assert found({**sent, "extra_headers": {"x-user": "the-key"}, "headers": None}) == set()


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"api_key": "x"}, True),
        ({"api_key": None}, False),
        ({"client": "an object"}, True),
        ({"litellm_credential_name": "shared"}, True),
        ({"vertex_credentials": "{}"}, True),
        ({"aws_access_key_id": "x"}, True),
        ({"aws_secret_access_key": "x"}, True),
        ({"aws_session_token": "x"}, True),
        ({"azure_ad_token": "x"}, True),
        ({"azure_ad_token_provider": len}, True),
        ({"extra_headers": {"Authorization": "Bearer x"}}, True),
        ({"headers": {"x-api-key": "x"}}, True),
        ({"extra_headers": {"x-user": "x"}, "headers": None}, False),
        ({"max_tokens": 5, "prompt_cache_key": "x", "aws_region_name": "us-east-1"}, False),
        ({"input_cost_per_token": 1.0, "thinking": {"budget_tokens": 5}}, False),
        ({}, False),
    ],
    ids=repr,
)
def test_whether_a_call_brings_credentials_of_its_own(
    params: dict[str, Any], expected: bool
) -> None:
    assert brings_credentials(params) is expected
