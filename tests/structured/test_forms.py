"""The form of an answer: how it is asked for, how it is read, and how a model is corrected."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Annotated, Any, Literal, get_args

import pytest
from pydantic import BaseModel, Field, Json, ValidationError, WithJsonSchema, field_validator
from pydantic.dataclasses import dataclass

from majordomo_cascade.errors import (
    BadRequestError,
    ResponseParsingError,
    ResponseValidationError,
)
from majordomo_cascade.options import Dialect, Mode, Target
from majordomo_cascade.structured import Form, JSONForm, ValueForm, corrected, type_form

DIALECTS: tuple[Dialect, ...] = get_args(Dialect)
MODES: tuple[Mode, ...] = get_args(Mode)
TARGET = Target("openai", "gpt-4.1")
ASKED: list[dict[str, Any]] = [{"role": "user", "content": "Rome?"}]


class City(BaseModel):
    name: str
    people: int


class Country(BaseModel):
    cities: list[City]
    notes: Json[Any] = None


class Fussy(BaseModel):
    name: str

    @field_validator("name")
    @classmethod
    def refuse(cls, name: str) -> str:
        raise ValueError(f"not {name}")


class Bill(BaseModel):
    total: Annotated[Decimal, Field(ge=0, max_digits=30, decimal_places=2, description="in euros")]
    tip: Decimal | None = Decimal("0.10")


@dataclass
class Share:
    part: Annotated[Decimal, Field(gt=Decimal("0.5"), multiple_of=0.25)]


def read(kind: Any, text: str) -> Any:
    return type_form(kind).read(text, TARGET)


def problems(kind: Any, text: str) -> ResponseValidationError:
    with pytest.raises(ResponseValidationError) as caught:
        read(kind, text)
    return caught.value


def schema_sent(kind: Any, dialect: Dialect = "plain") -> Any:
    _, params = type_form(kind).request(ASKED, "json_schema", dialect)
    return params["response_format"]["json_schema"]["schema"]


@pytest.mark.parametrize(
    ("kind", "label", "name"),
    [
        (City, "City", "City"),
        (list[City], "list[City]", "list_City_"),
        (City | int, "City | int", "City_int"),
        (Annotated[City, Field(description="x")], "City", "City"),
        (Annotated[list[City], Field(min_length=1)], "list[City]", "list_City_"),
        (dict[str, Decimal], "dict[str, Decimal]", "dict_str_Decimal_"),
        (Literal["a"], "Literal['a']", "Literal_a_"),
        (Literal["é"], "Literal['é']", "Literal_"),
        (Literal["a" * 80], f"Literal['{'a' * 80}']", f"Literal_{'a' * 56}"),
    ],
)
def test_a_type_has_a_label_for_its_user_and_a_name_for_openai(
    kind: Any, label: str, name: str
) -> None:
    form = type_form(kind)
    assert (form.label, form.name) == (label, name)


def test_a_type_that_cannot_be_used_is_refused_on_one_line() -> None:
    with pytest.raises(BadRequestError) as caught:
        type_form(object())  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    message = str(caught.value)
    assert message.startswith("response_model <object object at ")
    assert "can't be used: expected a pydantic model, or any type that pydantic's Type" in message
    assert message.endswith(")")
    assert "\n" not in message
    assert "Unable to generate pydantic-core schema for <object object" in message


@pytest.mark.parametrize(
    "schema", [{"$ref": "#/$defs/none"}, {"type": "string", "examples": [{1, 2}]}]
)
def test_a_type_with_a_schema_that_cannot_be_sent_is_refused(schema: Any) -> None:
    with pytest.raises(BadRequestError, match="can't be used"):
        type_form(Annotated[int, WithJsonSchema(schema)])


def test_a_types_form_is_made_once() -> None:
    assert type_form(list[City]) is type_form(list[City])


def test_unions_of_another_order_have_forms_of_their_own() -> None:
    assert type_form(int | str) is not type_form(str | int)
    assert type_form(str | int).label == "str | int"


def test_a_type_that_cannot_be_hashed_has_a_form() -> None:
    kind = Annotated[list[int], {"not": "hashable"}]
    assert read(kind, "[7]") == [7]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_ways_to_ask_are_given_best_first(dialect: Dialect) -> None:
    assert tuple(type_form(City).modes(dialect)) == MODES
    assert tuple(JSONForm().modes(dialect)) == ("json_mode", "prompt")


@pytest.mark.parametrize(
    ("kind", "inexpressible"),
    [
        (dict[str, int], {"inlined"}),
        (tuple[int, str], {"inlined"}),
        (Annotated[int, WithJsonSchema({"$ref": "https://example.org"})], set(DIALECTS)),
    ],
)
def test_a_schema_that_a_dialect_cannot_say_is_asked_for_in_a_lower_mode(
    kind: Any, inexpressible: set[Dialect]
) -> None:
    form = type_form(kind)
    lower = {dialect for dialect in DIALECTS if "json_schema" not in form.modes(dialect)}
    assert lower == inexpressible
    assert all(set(form.modes(dialect)) >= {"json_mode", "prompt"} for dialect in DIALECTS)


def test_a_schema_is_sent_as_a_parameter_and_the_messages_stay_as_they_are() -> None:
    for dialect in DIALECTS:
        messages, params = type_form(list[int]).request(ASKED, "json_schema", dialect)
        assert messages == ASKED
        assert params["response_format"]["type"] == "json_schema"
        assert params["response_format"]["json_schema"]["name"] == "list_int_"
        assert params["response_format"]["json_schema"]["strict"] == (dialect == "strict")


def test_what_is_written_into_a_request_does_not_show_in_the_next_one() -> None:
    form = type_form(City)
    messages, params = form.request(ASKED, "json_schema", "plain")
    params["response_format"]["json_schema"]["schema"]["properties"].clear()
    messages.clear()
    again_messages, again = form.request(ASKED, "json_schema", "plain")
    assert again_messages == ASKED
    assert set(again["response_format"]["json_schema"]["schema"]["properties"]) == {
        "name",
        "people",
    }


@pytest.mark.parametrize("form", [type_form(City), JSONForm()])
def test_the_lower_modes_ask_in_words(form: Form[Any]) -> None:
    in_mode, mode_params = form.request(ASKED, "json_mode", "plain")
    in_prompt, prompt_params = form.request(ASKED, "prompt", "plain")
    assert in_mode == in_prompt
    assert in_prompt[0]["role"] == "system"
    assert "JSON" in in_prompt[0]["content"]
    assert in_prompt[1:] == ASKED
    assert mode_params == {"response_format": {"type": "json_object"}}
    assert prompt_params == {}


def test_in_words_the_whole_schema_is_told() -> None:
    messages, _ = type_form(list[Annotated[int, Field(ge=3)]]).request(ASKED, "prompt", "strict")
    instruction, _, schema = messages[0]["content"].partition("\n")
    assert instruction == "Answer with JSON only, no other text, that matches this JSON Schema:"
    assert json.loads(schema)["properties"]["value"]["items"] == {"minimum": 3, "type": "integer"}


@pytest.mark.parametrize("role", ["system", "developer"])
def test_an_instruction_follows_the_system_prompt(role: str) -> None:
    asked = [{"role": role, "content": "Be brief.", "name": "x"}, *ASKED]
    messages, _ = JSONForm().request(asked, "prompt", "plain")
    told = "Be brief.\n\nAnswer with JSON only: one object or array, no other text."
    assert messages == [{"role": role, "content": told, "name": "x"}, *ASKED]
    assert asked[0]["content"] == "Be brief."


def test_an_instruction_becomes_the_last_part_of_a_system_prompt_in_parts() -> None:
    parts = [{"type": "text", "text": "Be brief."}]
    messages, _ = JSONForm().request([{"role": "system", "content": parts}], "prompt", "plain")
    assert messages[0]["content"][0] == parts[0]
    assert messages[0]["content"][1]["text"].startswith("\n\nAnswer with JSON only")
    assert len(parts) == 1


@pytest.mark.parametrize(("text", "value"), [('{"a": [1.5]}', {"a": [1.5]}), ("So: [1]", [1])])
def test_any_object_or_array_is_json(text: str, value: Any) -> None:
    assert JSONForm().read(text, TARGET) == value


@pytest.mark.parametrize("text", ["7", "?", '{"a": '])
def test_an_answer_without_an_object_or_array_is_an_error_that_does_not_quote_it(text: str) -> None:
    with pytest.raises(ResponseParsingError) as caught:
        JSONForm().read(text, TARGET)
    assert str(caught.value) == (
        "the answer of openai/gpt-4.1 holds no complete JSON object or array "
        f"({len(text)} characters; see raw_content)"
    )
    assert caught.value.raw_content == text
    assert not isinstance(caught.value, ResponseValidationError)


def test_an_answer_without_json_is_an_error_that_does_not_quote_it() -> None:
    with pytest.raises(ResponseParsingError) as caught:
        read(City, "I'd rather not")
    assert str(caught.value) == (
        "the answer of openai/gpt-4.1 holds no complete JSON value (14 characters; see raw_content)"
    )
    assert not isinstance(caught.value, ResponseValidationError)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (list[int], '{"value": [1]}', [1]),
        (list[int], "[1]", [1]),
        (City | bool, '{"name": "Rome", "people": 2}', City(name="Rome", people=2)),
        (dict[str, int] | None, '{"value": 1, "a": 2}', {"value": 1, "a": 2}),
        (dict[str, int], '{"value": 1}', {"value": 1}),
    ],
)
def test_a_value_that_is_no_object_is_unwrapped_and_one_that_was_not_wrapped_is_taken(
    kind: Any, text: str, value: Any
) -> None:
    assert read(kind, text) == value


LONG = "3.141592653589793238462643"


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (Decimal, f'{{"value": "{LONG}"}}'),
        (Decimal | None, f'{{"value": "{LONG}"}}'),
        (Decimal | int, f'{{"value": "{LONG}"}}'),
        (Decimal | Literal["much"], f'{{"value": "{LONG}"}}'),
    ],
)
def test_a_decimal_is_asked_for_as_a_string_and_keeps_every_digit(kind: Any, text: str) -> None:
    assert str(read(kind, text)) == LONG
    assert "number" not in json.dumps(schema_sent(kind)["properties"])


def test_a_decimal_inside_a_model_keeps_every_digit_and_trailing_zero() -> None:
    bill = read(Bill, '{"total": "12345678901234567890123456.70", "tip": "1.50"}')
    assert [str(bill.total), str(bill.tip)] == ["12345678901234567890123456.70", "1.50"]


def test_a_decimal_that_comes_as_a_number_is_taken() -> None:
    assert read(Bill, '{"total": 1.5, "tip": null}') == Bill(total=Decimal("1.5"), tip=None)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_constraints_of_a_decimal_are_said_in_its_description(dialect: Dialect) -> None:
    total = schema_sent(Bill, dialect)["properties"]["total"]
    assert total["type"] == "string"
    whole = total["description"].replace("minimum: 0.0", "minimum: 0")  # pydantic before 2.12
    said = whole.removeprefix("in euros (").removesuffix(")").split("; ")
    assert sorted(said) == ["format: decimal", "maxDecimalPlaces: 2", "maxDigits: 30", "minimum: 0"]
    part = schema_sent(Share, dialect)["properties"]["part"]
    said = part["description"].strip("()").split("; ")
    assert sorted(said) == ["exclusiveMinimum: 0.5", "format: decimal", "multipleOf: 0.25"]


def test_a_decimal_out_of_its_bounds_is_an_error() -> None:
    assert problems(Bill, '{"total": "-1"}').errors[0]["type"] == "greater_than_equal"


def test_strict_mode_requires_every_field_and_none_takes_null_that_did_not() -> None:
    class Hint(BaseModel):
        text: str = "none"
        more: int | None = 3

    schema = schema_sent(Hint, "strict")
    assert schema["required"] == ["text", "more"]
    assert schema["properties"]["text"]["type"] == "string"
    assert schema["properties"]["more"]["anyOf"] == [{"type": "integer"}, {"type": "null"}]
    assert "required" not in schema_sent(Hint, "plain")
    assert problems(Hint, '{"text": null, "more": null}').errors[0]["loc"] == ("text",)
    assert read(Hint, '{"more": null}') == Hint(text="none", more=None)


def test_an_error_has_pydantics_whole_list_without_links_and_contexts() -> None:
    class Town(BaseModel):
        people: Annotated[int, Field(gt=0)]

    error = problems(Town, '{"people": 0}')
    said = "Input should be greater than 0"
    assert error.errors == [{"type": "greater_than", "loc": ("people",), "msg": said, "input": 0}]
    assert str(error) == (
        f"the answer of openai/gpt-4.1 is JSON, but not of type Town: people: {said} (see errors)"
    )


def test_an_error_tells_who_answered_and_what() -> None:
    error = problems(City, "So: {}")
    assert (error.provider, error.model, error.raw_content) == ("openai", "gpt-4.1", "So: {}")


def test_an_error_does_not_drag_pydantics_along() -> None:
    error = problems(City, "{}")
    assert not isinstance(error.__context__, ValidationError)
    assert error.__cause__ is None


@pytest.mark.parametrize(
    ("kind", "text", "told"),
    [
        (Country, '{"cities": [7]}', "cities.0: Input should be"),
        (dict[str, City], '{"a b": {"name": "x", "people": "y"}}', "a b.people: Input should be"),
        (tuple[int, int], "[7]", "1: Field required"),
        (City, "[]", "the answer: Input should be an object"),
        (Fussy, '{"name": "Rome"}', "name: Value error, not Rome"),
    ],
)
def test_a_problem_is_told_by_its_place_and_pydantics_message(
    kind: Any, text: str, told: str
) -> None:
    assert f": {told}" in str(problems(kind, text))


@pytest.mark.parametrize(("wrong", "more"), [(3, ""), (4, "; and 1 more"), (9, "; and 6 more")])
def test_three_problems_are_named_and_the_rest_is_counted(wrong: int, more: str) -> None:
    error = problems(list[int], json.dumps(["x"] * wrong))
    assert str(error).count("valid integer") == 3
    assert str(error).endswith(f"as an integer{more} (see errors)")
    assert len(error.errors) == wrong


@pytest.mark.parametrize("hostile", ["x" * 10_000, "\n\x1b[2J\u202e\u200b" * 1_000])
def test_an_error_is_short_and_on_one_printable_line_whatever_the_answer_holds(
    hostile: str,
) -> None:
    in_message = problems(Fussy, json.dumps({"name": hostile}))
    in_place = problems(dict[str, int], json.dumps({hostile: "x"}))
    for error in (in_message, in_place):
        for text in (str(error), corrected([], error)[-1]["content"].split("\n")[1]):
            assert len(text) < 450
            assert text.isprintable()
            assert "…" in text
    assert "valid integer" in str(in_place)


@pytest.mark.parametrize("kind", [list[Any], dict[str, Any], list[Json[Any]]])
@pytest.mark.parametrize("form", ['{"value": %s}', "%s"])
def test_an_answer_that_is_nested_deeply_is_an_error(kind: Any, form: str) -> None:
    for depth in (300, 900, 100_000):
        with pytest.raises(ResponseParsingError):
            read(kind, form % ("[" * depth + "]" * depth))


def test_a_value_that_python_reads_but_cannot_write_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def nested_too_deeply(value: Any) -> str:
        raise RecursionError

    form = type_form(list[Any])
    monkeypatch.setattr(json, "dumps", nested_too_deeply)
    with pytest.raises(ResponseValidationError):
        form.read('{"value": ' + "[" * 300 + "]" * 300 + "}", TARGET)


ANSWER_AGAIN = "Answer again: all of it, corrected, as JSON only, no other text."


def told(error: ResponseParsingError) -> list[str]:
    """The problems that a model is told of."""
    content: str = corrected([], error)[-1]["content"]
    first, *listed, last = content.split("\n")
    assert (first, last) == ("Your answer can't be used:", ANSWER_AGAIN)
    return listed


def test_a_correction_holds_the_answer_and_what_is_wrong_with_it() -> None:
    wrong: list[dict[str, Any]] = [
        {"loc": ("a", 0), "msg": "no"},
        {"loc": (), "msg": "missing"},
    ]
    error = ResponseValidationError(raw_content=" {} ", errors=wrong)
    wish = f"Your answer can't be used:\n- a.0: no\n- the answer: missing\n{ANSWER_AGAIN}"
    assert corrected(ASKED, error) == [
        *ASKED,
        {"role": "assistant", "content": "{}"},
        {"role": "user", "content": wish},
    ]
    assert len(ASKED) == 1


def test_a_correction_of_prose_says_that_it_is_not_json() -> None:
    not_json = "- it is not one complete JSON value, and nothing else, as was asked for"
    assert told(ResponseParsingError(raw_content="Rome")) == [not_json]


def test_an_empty_answer_is_not_sent_again() -> None:
    assert [turn["role"] for turn in corrected([], ResponseParsingError(raw_content=" \n"))] == [
        "user"
    ]


def test_a_correction_can_be_sent_although_the_answer_holds_half_a_character() -> None:
    messages = corrected(
        ASKED,
        ResponseValidationError(
            raw_content="Half a \ud800 pair", errors=[{"loc": ("\ud800",), "msg": "no \ud800"}]
        ),
    )
    assert messages[1]["content"] == "Half a ? pair"
    json.dumps(messages, ensure_ascii=False).encode()


@pytest.mark.parametrize(("number", "more"), [(20, []), (22, ["- and 2 more"])])
def test_a_model_is_told_of_twenty_problems(number: int, more: list[str]) -> None:
    error = ResponseValidationError(
        raw_content="{}", errors=[{"loc": ("a",), "msg": "no"}] * number
    )
    assert told(error) == ["- a: no"] * 20 + more


def test_a_value_form_is_a_form() -> None:
    form: Form[City] = type_form(City)
    value_form: ValueForm[City] = type_form(City)
    assert form is value_form
