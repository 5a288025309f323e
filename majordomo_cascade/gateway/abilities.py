"""Look up a target without asking it: in LiteLLM's price list, and in the environment."""

import contextlib
import os
import re
from collections.abc import Mapping
from datetime import date
from types import FunctionType, SimpleNamespace
from typing import Any, Literal

from ..options import Target
from ..redaction import CREDENTIAL, brings_credentials
from .catalog import load
from .evidence import NOTHING

KeyState = Literal["found", "missing", "unknown"]

#: Variables that have no substitute. Those of AWS and Google have: profiles, roles, logins.
KEY_VARIABLE = re.compile("(API_KEY|TOKEN)$")

#: Variables that LiteLLM also reads, but does not name.
OTHER_VARIABLES = {
    "cohere": "CO_API_KEY",
    "huggingface": "HF_TOKEN",
    "openrouter": "OR_API_KEY",
    "volcengine": "ARK_API_KEY",
}

#: The prefixes by which LiteLLM is told of another API of the same model's.
ROUTES = re.compile("^(responses|converse|invoke)/")

#: A model that was tuned for somebody, whose name goes on.
TUNED = re.compile("^(ft:[^:]+):.*")

#: Names of facts, and LiteLLM's.
FACTS = {
    "max_input_tokens": "max_input_tokens",
    "max_output_tokens": "max_output_tokens",
    "tools": "supports_function_calling",
    "json_schema": "supports_response_schema",
    "vision": "supports_vision",
}
PRICES = {"input_cost": "input_cost_per_token", "output_cost": "output_cost_per_token"}


def facts_of(target: Target, sent: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts of a ``CheckRow``; what the price list lacks is None.

    A request may bring the name by which to look, or prices of its own.
    ``litellm.get_model_info`` asks servers, guesses abilities, and has 0 for an unknown price.
    """
    entry = _entry_of(target, str(sent.get("base_model") or target.model))
    facts: dict[str, Any] = {name: entry.get(theirs) for name, theirs in FACTS.items()}
    for name, theirs in PRICES.items():
        price = sent.get(theirs, entry.get(theirs))
        facts[name] = None if price is None else round(price * 1e6, 6)
    facts["known"] = bool(entry)
    facts["retires"] = None
    with contextlib.suppress(TypeError, ValueError):
        facts["retires"] = date.fromisoformat(entry.get("deprecation_date", ""))
    return facts


def _entry_of(target: Target, model: str) -> Mapping[str, Any]:
    model = TUNED.sub(r"\1", ROUTES.sub("", model))
    for name in (f"{target.provider}/{model}", model):
        entry: Mapping[str, Any] = load().model_cost.get(name, NOTHING)
        if str(entry.get("litellm_provider")).startswith(target.provider):
            return entry
    return NOTHING


def find_key(target: Target, sent: Mapping[str, Any]) -> tuple[KeyState, list[str]]:
    """Return whether a request has a key, and the variables each of which could hold it."""
    litellm = load()
    given = (getattr(litellm, name, None) for name in ("api_key", f"{target.provider}_key"))
    if brings_credentials(sent) or any(given):
        return "found", []
    if "api_base" in sent or getattr(litellm, "secret_manager_client", None):
        return "unknown", []
    needed = list(filter(KEY_VARIABLE.search, _variables_of(litellm, target)))
    if any(map(os.environ.get, (*needed, OTHER_VARIABLES.get(target.provider, "")))):
        return "found", needed
    with contextlib.suppress(Exception):  # it reads still others for some providers
        if needed and litellm.get_llm_provider(f"{target.provider}/{target.model}")[2]:
            return "found", needed
    prefix = f"{target.provider.upper()}_"
    others = [name for name in os.environ if name.startswith(prefix) and CREDENTIAL.search(name)]
    has_others = any(map(os.environ.get, others))  # such as Azure's logins
    return ("missing" if needed and not has_others else "unknown"), needed


def _variables_of(litellm: Any, target: Target) -> list[str]:
    """Return the variables that LiteLLM looks for, none for a provider that it does not know.

    Its function runs in an empty environment, where it names those that are set as well.
    """
    variables: list[str] = []
    with contextlib.suppress(Exception):  # LiteLLM has changed
        look: Any = litellm.validate_environment
        names = {**look.__globals__, "os": SimpleNamespace(environ={})}
        look = FunctionType(look.__code__, names, argdefs=look.__defaults__)
        variables = look(f"{target.provider}/{target.model}")["missing_keys"]
    return variables
