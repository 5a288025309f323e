"""``cascade.check()``: facts and advice about the targets, for which nothing is sent."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import litellm
import pytest
from conftest import Serve
from litellm.llms.custom_llm import CustomLLM

from majordomo_cascade import CheckReport, CheckRow, LLMCascade, Target
from majordomo_cascade.check import check_targets
from majordomo_cascade.testing import FakeProvider

TODAY = date(2026, 11, 25)

#: A price list in which nothing changes: two vendors, a big and a small model of each.
BIG: dict[str, Any] = {
    "mode": "chat",
    "max_input_tokens": 1_000_000,
    "max_output_tokens": 64_000,
    "input_cost_per_token": 1.25e-06,
    "output_cost_per_token": 1e-05,
    "supports_function_calling": True,
    "supports_response_schema": True,
    "supports_vision": True,
}
SMALL: dict[str, Any] = {
    **BIG,
    "max_input_tokens": 128_000,
    "max_output_tokens": 32_768,
    "supports_function_calling": False,
    "supports_response_schema": False,
    "supports_vision": False,
}

List = Callable[..., None]


@pytest.fixture
def price(monkeypatch: pytest.MonkeyPatch) -> List:
    """Put models on the price list."""

    def put(name: str, entry: dict[str, Any], **more: Any) -> None:
        fields = {"litellm_provider": name.partition("/")[0], **entry, **more}
        monkeypatch.setitem(litellm.model_cost, name, fields)

    put("openai/big", BIG)
    put("anthropic/big", BIG)
    put("openai/small", SMALL)
    put("anthropic/small", SMALL)
    return put


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the keys of two vendors, and hide all credentials of the person who runs the tests."""
    for name in os.environ:
        if name.startswith(("AWS_", "AZURE_", "VERTEX", "GOOGLE_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("OPENAI_API_KEY", "planted-openai-key")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "planted-anthropic-key")


def check(*providers: Any, **params: Any) -> CheckReport:
    """Check a cascade on one day."""
    cascade = LLMCascade(providers, **params)
    return check_targets([each.client for each in cascade._candidates], TODAY)


def advice(*providers: Any, **params: Any) -> tuple[str, ...]:
    return check(*providers, **params).advice


# Facts.


def test_a_row_has_what_the_price_list_says(price: List) -> None:
    price("openai/big", BIG, deprecation_date="2028-02-29")
    [row] = check(Target("openai", "big", name="main")).rows
    assert row == CheckRow(
        target="main",
        provider="openai",
        model="big",
        key="found",
        known=True,
        retires=date(2028, 2, 29),
        max_input_tokens=1_000_000,
        max_output_tokens=64_000,
        tools=True,
        json_schema=True,
        vision=True,
        input_cost=1.25,
        output_cost=10.0,
    )


def test_what_the_price_list_lacks_is_unknown_and_not_a_no(price: List) -> None:
    price("openai/bare", {"mode": "chat"})
    [row] = check("openai/bare").rows
    nothing: dict[str, Any] = dict.fromkeys(CheckRow.__dataclass_fields__)
    named = {"target": "openai/bare", "provider": "openai", "model": "bare", "key": "found"}
    assert row == CheckRow(**{**nothing, **named, "known": True})
    assert advice("anthropic/big", "openai/bare") == ()


def test_a_price_of_nothing_is_not_an_unknown_price(price: List) -> None:
    price("openai/free", {"input_cost_per_token": 0, "output_cost_per_token": 0.0})
    [row] = check("openai/free").rows
    assert (row.input_cost, row.output_cost) == (0, 0)


@pytest.mark.parametrize("word", ["sometime", "date when the model is turned off", 7])
def test_a_date_that_is_none_is_unknown(price: List, word: Any) -> None:
    price("openai/big", BIG, deprecation_date=word)
    assert check("openai/big").rows[0].retires is None


@pytest.mark.parametrize(
    ("name", "provider", "target"),
    [
        ("plain", "openai", "openai/plain"),
        ("plain", "openai", "openai/responses/plain"),
        ("eu.plain", "bedrock_converse", "bedrock/converse/eu.plain"),
        ("plain", "vertex_ai-language-models", "vertex_ai/plain"),
        ("openrouter/big/plain", "openrouter", "openrouter/big/plain"),
    ],
)
def test_a_model_is_found_as_its_vendor_is_called(
    price: List, name: str, provider: str, target: str
) -> None:
    price(name, {**BIG, "litellm_provider": provider})
    assert check(target).rows[0].known


def test_a_model_of_that_name_at_another_vendor_is_another_one(price: List) -> None:
    price("plain", {**BIG, "litellm_provider": "anthropic"})
    report = check("openai/plain", "anthropic/plain")
    assert [row.known for row in report.rows] == [False, True]
    [told] = report.advice
    assert told.startswith("openai/plain is not in LiteLLM's price list")


def test_a_tuned_model_a_base_model_and_own_prices_are_known(price: List) -> None:
    price("openai/ft:plain", BIG)
    assert check("openai/ft:plain:org::id").rows[0].known
    deployment = Target("azure", "our-deployment", params={"base_model": "openai/big"})
    assert check(deployment).rows[0].known is False  # it is another vendor's
    price("azure/big", BIG)
    deployment = Target("azure", "our-deployment", params={"base_model": "azure/big"})
    assert check(deployment).rows[0].known
    prices = {"input_cost_per_token": 3e-6, "output_cost_per_token": 0.0}
    own = check(Target("openai", "own-model", params=prices))
    assert (own.rows[0].input_cost, own.rows[0].output_cost) == (3.0, 0.0)
    assert "price list" not in str(own)


def test_a_max_tokens_that_is_no_number_is_not_compared(price: List) -> None:
    assert "kills it" not in str(check("openai/small", max_tokens="640000"))


def test_a_model_on_an_own_server_need_not_be_on_the_price_list() -> None:
    own = Target("openai", "own-model", api_base="http://127.0.0.1:9/v1")
    assert not check(own).rows[0].known
    assert "price list" not in str(check(own))


def test_the_models_of_an_installed_price_list_are_found() -> None:
    rows = check("openai/gpt-4.1", "anthropic/claude-sonnet-4-5", "gemini/gemini-2.5-flash").rows
    assert all(row.known and row.tools and row.max_input_tokens for row in rows)
    assert (rows[0].input_cost, rows[0].output_cost) == (2.0, 8.0)


# Keys.


def key_of(target: Any, **params: Any) -> str:
    [row] = check(target, **params).rows
    return row.key


def test_a_missing_key_is_not_ok_and_its_variable_is_named(
    price: List, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    report = check("anthropic/big", Target("openai", "big", name="second"))
    assert not report.ok
    assert [row.key for row in report.rows] == ["found", "missing"]
    told = "second has no API key: set OPENAI_API_KEY, or api_key=… on its Target"
    assert report.advice == (told,)


def test_a_variable_without_a_value_is_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "")
    assert key_of("openai/gpt-4.1") == "missing"


@pytest.mark.parametrize("name", ["GOOGLE_API_KEY", "GEMINI_API_KEY"])
def test_one_of_two_variables_suffices(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    target = "gemini/gemini-2.5-flash"
    assert "set GOOGLE_API_KEY or GEMINI_API_KEY, or" in str(check(target))
    monkeypatch.setenv(name, "planted-gemini-key")
    assert key_of(target) == "found"


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("fireworks_ai/any", "FIREWORKS_API_KEY"),
        ("together_ai/any", "TOGETHER_API_KEY"),
        ("huggingface/any", "HF_TOKEN"),
        ("cohere/any", "CO_API_KEY"),
        ("openrouter/any/model", "OR_API_KEY"),
        ("volcengine/any", "ARK_API_KEY"),
    ],
)
def test_a_variable_by_another_name_is_found(
    monkeypatch: pytest.MonkeyPatch, target: str, name: str
) -> None:
    assert key_of(target) == "missing"
    monkeypatch.setenv(name, "planted-other-key")
    assert key_of(target) == "found"


def test_keys_that_are_given_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    model = "openai/gpt-4.1"
    assert key_of(model) == "missing"
    assert key_of(Target("openai", "gpt-4.1", api_key="given")) == "found"
    assert key_of(model, api_key="given") == "found"
    assert key_of(model, extra_headers={"Authorization": "Bearer given"}) == "found"
    monkeypatch.setattr(litellm, "openai_key", "given")
    assert key_of(model) == "found"


def test_a_server_of_ones_own_may_need_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    own = Target("openai", "own-model", api_base="http://127.0.0.1:9/v1")
    assert key_of(own) == "unknown"  # the vendor's key tells nothing
    gateway = {"api_base": "http://127.0.0.1:9/v1"}
    assert key_of("openai/gpt-4.1", **gateway) == "unknown"
    assert key_of("openai/gpt-4.1", **gateway, api_key="given") == "found"
    # The cascade's key is for the cascade's gateway.
    assert key_of(own, api_base="http://127.0.0.1:8/v1", api_key="given") == "unknown"


@pytest.mark.parametrize(
    "target",
    [
        "bedrock/anthropic.claude-sonnet-4-5-20250929-v1:0",  # profiles and roles
        "vertex_ai/gemini-2.5-flash",  # application default credentials
        "ollama/llama3",
        "hosted_vllm/any-model",  # LiteLLM does not know what it needs
    ],
)
def test_a_vendor_that_may_do_without_a_key_is_unknown_and_ok(target: str) -> None:
    report = check(target)
    assert report.ok
    assert report.rows[0].key == "unknown"


@pytest.mark.parametrize("variable", ["AZURE_CLIENT_SECRET", "AZURE_FEDERATED_TOKEN_FILE"])
def test_azure_may_have_a_login_instead(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    assert key_of("azure/deployment") == "missing"
    monkeypatch.setenv("AZURE_API_BASE", "https://host")  # no credential
    assert key_of("azure/deployment") == "missing"
    monkeypatch.setenv(variable, "planted-login")
    assert key_of("azure/deployment") == "unknown"


def test_a_secret_manager_may_have_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    monkeypatch.setattr(litellm, "secret_manager_client", object())
    assert key_of("openai/gpt-4.1") == "unknown"


def test_a_custom_provider_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = {"provider": "own-provider", "custom_handler": CustomLLM()}
    monkeypatch.setattr(litellm, "custom_provider_map", [entry])
    assert key_of("own-provider/any") == "unknown"


def test_keys_in_the_environment_are_found() -> None:
    assert key_of("openai/gpt-4.1") == "found"
    assert key_of("anthropic/claude-sonnet-4-5") == "found"


def test_nothing_is_known_of_keys_if_litellm_has_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(litellm, "validate_environment", object())
    report = check("openai/gpt-4.1")
    assert report.ok
    assert report.rows[0].key == "unknown"


# Advice.


def test_good_order_needs_no_advice(price: List) -> None:
    report = check("openai/big", "anthropic/big")
    assert report.ok
    assert report.advice == ()


def test_advice_alone_is_ok(price: List) -> None:
    report = check("openai/big")
    assert report.ok
    told = "an outage of openai leaves no target to ask: add one of another vendor"
    assert report.advice == (told,)


def test_a_chain_of_one_vendor_is_told_once(price: List) -> None:
    told = "an outage of openai leaves no target to ask: add one of another vendor"
    assert advice("openai/big", "openai/big", "openai/big") == (told,)


def test_two_targets_of_one_vendor_are_told_if_they_follow_each_other(price: List) -> None:
    first, second = Target("openai", "big", name="a"), Target("openai", "big", name="b")
    [told] = advice("anthropic/big", first, second)
    assert told == (
        "an outage of openai takes a and b, which follow each other: "
        "put another vendor's between them"
    )
    assert advice(first, "anthropic/big", second) == ()


def test_servers_at_two_addresses_are_two_vendors(serve: Serve) -> None:
    one, other = serve().target(model="big"), serve().target(model="big")
    assert advice(one, other) == ()
    assert len(advice(one, one)) == 1


def test_smaller_windows_and_ceilings_are_told_with_their_figures(price: List) -> None:
    price("anthropic/big", BIG, max_input_tokens=200_000, max_output_tokens=8192)
    assert advice("openai/big", "anthropic/big") == (
        "anthropic/big reads at most 200,000 tokens, openai/big 1,000,000: a longer prompt fails",
        "anthropic/big writes at most 8,192 tokens, openai/big 64,000: longer answers are cut",
    )
    assert advice("anthropic/big", "openai/big") == ()  # a larger one is fine


def test_a_max_tokens_above_the_ceiling_is_told_with_its_remedy(price: List) -> None:
    price("anthropic/big", BIG, max_output_tokens=32_768)
    price("openai/big", BIG, max_output_tokens=None)
    told = (
        "anthropic/big writes at most 32,768 tokens; your max_tokens of 64,000 kills it: "
        "set overrides={'max_tokens': 32_768} on its Target"
    )
    assert advice("openai/big", "anthropic/big", max_tokens=64_000) == (told,)
    remedied = Target("anthropic", "big", overrides={"max_tokens": 32_768})
    assert advice("openai/big", remedied, max_tokens=64_000) == ()
    own = Target("anthropic", "big", params={"max_completion_tokens": 40_000})
    assert "your max_completion_tokens of 40,000" in advice("openai/big", own)[0]


def test_a_first_target_may_be_killed_as_well(price: List) -> None:
    assert "kills it" in advice("openai/big", "anthropic/big", max_tokens=64_001)[0]
    assert advice("openai/big", "anthropic/big", max_tokens=64_000) == ()


def test_abilities_that_a_fallback_lacks_are_told(price: List) -> None:
    small = {name: SMALL[name] for name in SMALL if name.startswith("supports_")}
    price("anthropic/big", {**BIG, **small})
    assert advice("openai/big", "anthropic/big") == (
        ("anthropic/big can't call tools, which openai/big can: a call with tools fails there"),
        "anthropic/big takes no JSON Schema, which openai/big does: its JSON is less sure",
        "anthropic/big can't see images, which openai/big can: a call with images fails there",
    )
    assert advice("anthropic/big", "openai/big") == ()


@pytest.mark.parametrize(
    ("days", "told"),
    [
        (-1, "retired on 2026-11-24: put a newer model in its place"),
        (0, "retired on 2026-11-25: put a newer model in its place"),
        (1, "retires on 2026-11-26 (days left: 1): replace it by then"),
        (90, "retires on 2027-02-23 (days left: 90): replace it by then"),
        (91, None),
    ],
)
def test_a_model_that_retires_within_90_days_is_told(
    price: List, days: int, told: str | None
) -> None:
    price("openai/big", BIG, deprecation_date=str(TODAY + timedelta(days)))
    expected = (f"openai/big {told}",) if told else ()
    assert advice("openai/big", "anthropic/big") == expected


# Reports.


async def test_a_cascade_is_checked_today(price: List) -> None:
    today = datetime.now(UTC).date()
    price("openai/big", BIG, deprecation_date=str(today + timedelta(days=30)))
    cascade = LLMCascade(["openai/big", "anthropic/big"])
    report = await cascade.check()
    assert "openai/big retires on " in report.advice[0]
    assert report == check_targets([each.client for each in cascade._candidates], today)


def test_a_blocking_check_says_the_same(price: List) -> None:
    report = LLMCascade(["openai/big", "anthropic/big"]).sync.check()
    assert report == check("openai/big", "anthropic/big")


async def test_nothing_is_sent(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    vendor, ollama = serve(), serve()
    monkeypatch.setenv("OLLAMA_API_BASE", ollama.url)
    cascade = LLMCascade([vendor.target(), "ollama/own-model"])
    before = len(ollama.requests)  # LiteLLM asks it what the model can do when it is built
    await cascade.check()
    assert (vendor.connections, len(ollama.requests)) == (0, before)


def test_a_report_prints_as_a_table_with_advice(price: List) -> None:
    price("anthropic/bare", {"input_cost_per_token": 3e-07}, deprecation_date="2026-11-30")
    report = check("openai/big", "anthropic/bare")
    columns = "target key known retires max_input_tokens max_output_tokens tools json_schema vision"
    head, *rows, told = [re.split("  +", line) for line in str(report).splitlines()]
    assert head == [
        *(name.replace("_", " ") for name in columns.split()),
        "input cost",
        "output cost",
    ]
    assert rows == [
        ["openai/big", "found", "yes", "-", "1,000,000", "64,000", *["yes"] * 3, "1.25", "10"],
        ["anthropic/bare", "found", "yes", "2026-11-30", *"-----", "0.3", "-"],
    ]
    assert told == ["- anthropic/bare retires on 2026-11-30 (days left: 5): replace it by then"]
    html = report._repr_html_()
    assert html.count("<tr>") == 3
    assert "<li>anthropic/bare retires on 2026-11-30 (days left: 5)" in html


def test_a_report_in_html_is_escaped(price: List) -> None:
    price("openai/big", BIG, deprecation_date="2026-11-30")
    html = check(Target("openai", "big", name="<script>"))._repr_html_()
    assert "<script" not in html
    assert "<li>&lt;script&gt; retires on" in html


def test_a_report_becomes_json(price: List) -> None:
    price("openai/big", BIG, deprecation_date="2027-01-14")
    told = check("openai/big", "anthropic/big").to_dict()
    assert json.loads(json.dumps(told)) == told
    assert list(told) == ["ok", "advice", "rows"]
    assert list(told["rows"][0]) == list(CheckRow.__dataclass_fields__)
    assert told["rows"][0]["retires"] == "2027-01-14"
    assert told["rows"][1]["retires"] is None


def test_no_key_is_in_a_report(price: List) -> None:
    with FakeProvider() as provider:
        own = provider.target(api_key="planted-target-key")
        report = check("openai/big", own, api_key="planted-cascade-key")
    told = f"{report}{report!r}{report._repr_html_()}{json.dumps(report.to_dict())}"
    assert "planted" not in told
