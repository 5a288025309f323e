"""The form of an answer, by itself: what it is called, what is wrong with a text, and how that is told."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Annotated, Any, Literal, get_args

import pytest
from pydantic import BaseModel, Field, Json, field_validator

from majordomo_cascade import InvalidRequestError, ResponseParsingError, ResponseValidationError
from majordomo_cascade.structured import (
    LONGEST_PATH,
    MOST_TOLD,
    JSONForm,
    Ladder,
    SchemaForm,
    Shape,
    correct,
    schema_form,
    type_form,
)


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


def problems(form: SchemaForm[Any], text: str) -> ResponseValidationError:
    with pytest.raises(ResponseValidationError) as caught:
        form.read(text, "openai", "gpt-4.1")
    return caught.value


def test_a_ladder_tells_whether_it_left_a_rung() -> None:
    ladder = Ladder("json_schema")
    assert ladder.leave("json_schema") is True
    assert ladder.leave("json_schema") is False
    assert ladder.leave("prompt") is False


@pytest.mark.parametrize(
    ("kind", "label"),
    [
        (City, "City"),
        (list[City], "list[City]"),
        (City | int, "City | int"),
        (Annotated[City, Field(description="x")], "City"),
        (Annotated[list[City], Field(min_length=1)], "list[City]"),
        (dict[str, Decimal], "dict[str, Decimal]"),
        (Literal["a"], "Literal['a']"),
    ],
)
def test_a_type_is_called_as_it_is_written(kind: Any, label: str) -> None:
    assert type_form(kind).label == label


def test_a_type_that_can_not_be_used_is_told_on_one_line() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        type_form(object())  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    assert str(caught.value).startswith("response_model <object object at ")
    assert "can't be used: expected a pydantic model, or any type that pydantic's TypeAdapter takes" in str(
        caught.value
    )
    assert str(caught.value).endswith(")")
    assert "\n" not in str(caught.value)
    assert "Unable to generate pydantic-core schema for <object object" in str(caught.value)


def test_pydantics_list_of_problems_is_without_links_and_contexts() -> None:
    class Town(BaseModel):
        people: Annotated[int, Field(gt=0)]

    error = problems(type_form(Town), '{"people": 0}')
    assert error.errors == [
        {"type": "greater_than", "loc": ("people",), "msg": "Input should be greater than 0", "input": 0}
    ]
    assert str(error) == (
        "the answer of openai/gpt-4.1 is JSON, but not of type Town: people: Input should be greater than 0 "
        "(see errors)"
    )


def test_an_error_names_who_answered() -> None:
    error = problems(type_form(City), "{}")
    assert (error.provider, error.model, error.raw_content) == ("openai", "gpt-4.1", "{}")


def test_a_types_form_is_made_once() -> None:
    assert type_form(list[City]) is type_form(list[City])


def test_three_problems_are_all_and_a_fourth_is_counted() -> None:
    assert " more" not in str(problems(type_form(list[City]), '[{"name": "Rome"}, {}]'))
    assert "; and 1 more (see errors)" in str(problems(type_form(list[City]), "[{}, {}]"))


def test_what_the_callers_own_validators_say_is_not_told() -> None:
    error = problems(type_form(Fussy), '{"name": "Rome"}')
    assert str(error).endswith("not of type Fussy: name: value_error (see errors)")


def test_a_path_has_the_schemas_words_and_none_of_the_models() -> None:
    form = type_form(dict[str, list[City]])
    error = problems(form, '{"secret": [{"name": "Rome", "people": 1}, {"name": "Rome", "people": "many"}]}')
    assert ": [key].1.people: Input" in str(error)
    assert ": cities.0: Input" in str(problems(type_form(Country), '{"cities": [7]}'))
    assert ": list[int].0: Input" in str(problems(type_form(list[int] | dict[str, int]), '["x"]'))
    assert ": 1: Field required" in str(problems(type_form(tuple[int, int]), "[7]"))
    assert "schema: the answer: expected" in str(problems(schema_form({"type": "array", "minItems": 1}), "[]"))


def test_a_path_ends_where_it_gets_too_long() -> None:
    def deep(levels: int, name: str) -> tuple[dict[str, Any], Any]:
        schema: dict[str, Any] = {"type": "integer"}
        value: Any = "x"
        for _ in range(levels):
            schema, value = {"type": "object", "properties": {name: schema}}, {name: value}
        return schema, value

    for levels, name, path in ((1, "a" * LONGEST_PATH, "a" * LONGEST_PATH), (1, "a" * 81, "a" * LONGEST_PATH + "…")):
        schema, value = deep(levels, name)
        assert f"schema: {path}: expected type " in str(problems(schema_form(schema), json.dumps(value)))


def test_an_answer_within_the_answer_is_looked_into() -> None:
    class Holder(BaseModel):
        inner: Json[dict[str, City]]

    error = problems(type_form(Holder), json.dumps({"inner": json.dumps({"secret": {"name": "x", "people": "y"}})}))
    assert ": inner.[key].people: Input" in str(error)


@pytest.mark.parametrize(
    ("schema", "text", "problem"),
    [
        ({"type": "object"}, "[]", {"type": "type", "loc": (), "msg": 'expected type "object"'}),
        (
            {"type": "object", "properties": {"a": {"const": "é"}}},
            '{"a": 1}',
            {"type": "const", "loc": ("a",), "msg": 'expected const "é"'},
        ),
        (
            {"type": "array", "uniqueItems": True},
            '[1.5, {"a": 1}, 1.5]',
            {"type": "uniqueItems", "loc": (), "msg": "expected uniqueItems true"},
        ),
        (
            {"type": ["array", "object"]},
            "7",
            {"type": "schema", "loc": (), "msg": "expected an object or an array"},
        ),
    ],
)
def test_a_problem_with_a_schema_of_the_callers_own(schema: Any, text: str, problem: Any) -> None:
    assert problems(schema_form(schema), text).errors == [problem]


def test_a_schema_with_a_number_that_is_none() -> None:
    with pytest.raises(InvalidRequestError, match=r"^schema can't be used as a JSON Schema: "):
        schema_form({"type": "object", "properties": {"a": {"maximum": float("inf")}}})


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("7", "is JSON, but neither an object nor an array"),
        ("?", "holds no complete JSON value"),
    ],
)
def test_what_is_neither_an_object_nor_an_array(text: str, problem: str) -> None:
    with pytest.raises(ResponseParsingError) as caught:
        JSONForm().read(text, "openai", "gpt-4.1")
    assert str(caught.value) == f"the answer of openai/gpt-4.1 {problem} (1 characters; see raw_content)"


SHAPES: tuple[Shape, ...] = get_args(Shape)


def test_the_parameter_that_asks_for_a_schema() -> None:
    form = type_form(list[Decimal])
    formats = [form.ask([], "json_schema", shape).params["response_format"] for shape in SHAPES]
    assert [each["type"] for each in formats] == ["json_schema"] * 3
    assert [each["json_schema"]["strict"] for each in formats] == [True, False, False]
    again = form.ask([], "json_schema", "strict").params["response_format"]
    assert again == formats[0]
    assert again["json_schema"]["schema"] is not formats[0]["json_schema"]["schema"]  # LiteLLM may write into it


def test_claude_gets_no_references() -> None:
    form = type_form(Country)
    plain, inlined = (json.dumps(form.ask([], "json_schema", shape).params) for shape in SHAPES[1:])
    assert "$ref" in plain
    assert "$ref" not in inlined


ANSWER_AGAIN = "Answer again: all of it, corrected, as JSON only, no other text."


def test_what_a_model_is_told_of_its_answer() -> None:
    asked = [{"role": "user", "content": "Rome?"}]
    wrong: list[dict[str, Any]] = [{"loc": ("a", 0), "msg": "no"}, {"loc": ("b",), "msg": "missing"}]
    error = ResponseValidationError(raw_content=" {} ", errors=wrong)
    assert correct(asked, error) == [
        *asked,
        {"role": "assistant", "content": "{}"},
        {"role": "user", "content": f"Your answer can't be used:\n- a.0: no\n- b: missing\n{ANSWER_AGAIN}"},
    ]
    prose = correct(asked, ResponseParsingError(raw_content="Half a \ud800 pair"))
    assert prose[1] == {"role": "assistant", "content": "Half a ? pair"}
    assert prose[2]["content"] == (
        "Your answer can't be used:\n- it is not one complete JSON value, and nothing else, as was asked for\n"
        f"{ANSWER_AGAIN}"
    )


@pytest.mark.parametrize(("number", "more"), [(MOST_TOLD, ""), (MOST_TOLD + 2, "\n- and 2 more")])
def test_a_model_is_told_of_so_many_problems(number: int, more: str) -> None:
    error = ResponseValidationError(raw_content="{}", errors=[{"loc": (), "msg": "no"}] * number)
    told = correct([], error)[1]["content"]
    assert told == "Your answer can't be used:" + "\n- : no" * MOST_TOLD + f"{more}\n{ANSWER_AGAIN}"
