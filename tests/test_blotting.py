"""Foreign texts made fit to be shown, by themselves: what is blotted out, and what is left of the rest."""

from __future__ import annotations

import base64

import pytest

from majordomo_cascade.scrubbing import BLOT, LONGEST_TEXT, in_any_spelling, in_json, scrub, wanted

KEY = "sk-123456789abcd"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("as it is", "as it is"),
        ("a b", "a b"),
        ("", ""),
        ("  on \r\n\t one\x00line \u2028", "on one line"),
        ("\u200bé", "é"),
        (f"your key {KEY}!", "your key […]!"),
        (f"your key\x1b{KEY[:5]} \n{KEY[5:]}\u200b!", "your key […] !"),
        (f"{KEY[:5]} {KEY[5:]}!", "[…]!"),
        (f"{KEY}{KEY} {KEY}", "[…][…] […]"),
        (KEY[:-1], KEY[:-1]),
    ],
)
def test_a_text_on_one_line_without_the_key(text: str, shown: str) -> None:
    assert scrub(text, [KEY]) == shown


def test_one_secret_in_another_and_one_that_another_runs_into() -> None:
    assert scrub(f"<{KEY}>", [KEY, KEY[3:12]]) == "<[…]>"
    assert scrub(f"<{KEY}>", [KEY[3:12], KEY]) == "<[…]>"
    assert scrub("<abcdefghijklmnop>", ["abcdefghij", "fghijklmnop"]) == "<[…]>"
    assert scrub("<abcdefghijklmnop>", ["fghijklmnop", "abcdefghij"]) == "<[…]>"


def test_no_more_is_read_than_can_be_shown() -> None:
    assert scrub("x" * LONGEST_TEXT, []) == "x" * LONGEST_TEXT
    assert scrub("x" * (LONGEST_TEXT + 1), []) == "x" * LONGEST_TEXT


@pytest.mark.parametrize("letters", range(1, len(KEY) + 1))
def test_where_a_text_is_cut_a_key_may_begin(letters: int) -> None:
    before = "x" * (LONGEST_TEXT - letters)
    end = BLOT if letters >= 8 else KEY[:letters]
    assert scrub(before + KEY + "y", [KEY]) == before + end
    if letters < len(KEY):
        assert scrub(before + KEY[:letters], [KEY]) == before + KEY[:letters]  # not cut: it is no key


def test_where_a_text_is_cut_the_key_begins_at_the_first_place_that_fits() -> None:
    before = "x" * (LONGEST_TEXT - 11)
    assert scrub(before + "aaaaaaaaaaab and more", ["aaaaaaaab and more"]) == before + "aaa" + BLOT
    assert scrub(before + "abababababa and more", ["abababababa and more"]) == before + BLOT
    endless = "".join(map(str, range(LONGEST_TEXT)))
    assert scrub(endless, [endless]) == BLOT
    before = "x" * (LONGEST_TEXT - 26)
    assert scrub(before + KEY + KEY, [KEY]) == before + BLOT + BLOT


def test_what_is_looked_for_are_the_visible_letters_of_what_is_long_enough() -> None:
    secrets = ["1234567", "12345678", "1 2 3 4 5 6 7", "1234 5678\n9", "12345\u200b678", "0" * 20]
    assert wanted(secrets) == ["0" * 20, "123456789", "12345678"]


def test_a_text_as_json_writers_put_it() -> None:
    assert list(in_json("plain text.")) == ["plain text."]
    assert list(in_json('"é/')) == ['"é/', '\\"é/', '\\"é\\/', '\\"\\u00e9/', '\\"\\u00e9\\/']
    assert list(in_json("a\nb")) == ["a\nb", "a\\nb", "a\\nb", "a\\nb", "a\\nb"]
    assert list(in_json("\\")) == ["\\", *["\\\\"] * 4]
    assert list(in_json("x" * 8001)) == ["x" * 8000]


@pytest.mark.parametrize("key", [KEY, "k/é", "12345678", "\ud800-half-a-pair"])
def test_a_key_in_base64_wherever_it_begins(key: str) -> None:
    encoded = key.encode(errors="surrogatepass")
    *_, first, second, third = in_any_spelling(key)
    for spelling, before in ((first, b""), (second, b"?"), (third, b"??")):
        for around in (b"", b"user", b"user:u"):
            for after in (b"", b"!", b"!!"):
                if (len(around) + len(before)) % 3 == len(before):
                    assert spelling in base64.b64encode(around + before + encoded + after).decode()
        assert len(spelling) >= len(encoded) * 4 // 3 - 2


def test_every_spelling_of_a_key() -> None:
    assert list(in_any_spelling("k/1")) == ["k/1", "k/1", "k\\/1", "k/1", "k\\/1", "k%2F1", "ay8x", "svM", "rLz"]
    assert max(map(len, in_any_spelling("x" * 9000))) == 8000 * 4 // 3
