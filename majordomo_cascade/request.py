"""What a caller asks for, checked before anyone is asked: a mistake must never look like an outage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

from pydantic import SecretStr

from .errors import InvalidRequestError, MajordomoError
from .target import key_problem, url_problem

Message = dict[str, Any]

#: The roles of OpenAI's chat format, which LiteLLM translates for every vendor.
ROLES = ("system", "developer", "user", "assistant", "tool", "function")

#: LiteLLM parameters that would change who is asked, how often, or how long, and what does it here.
REPLACED = {
    "model": "the cascade's own list of providers",
    "num_retries": "retry=RetryPolicy(attempts=…)",
    "max_retries": "retry=RetryPolicy(attempts=…)",
    "retry_policy": "retry=RetryPolicy(…)",
    "retry_strategy": "retry=RetryPolicy(…)",
    "fallbacks": "the cascade's own list of providers",
    "context_window_fallback_dict": "the cascade's own list of providers, which takes over when a prompt is too long",
    "model_list": "the cascade's own list of providers",
    "request_timeout": "timeout=…, in seconds",
}

#: Names that belong to this package, and slips that mean them: LiteLLM would hand them to a vendor, who ignores them.
OURS = (
    "api_base",
    "api_key",
    "breaker",
    "deadline",
    "failover_on",
    "first_token_timeout",
    "hedge_after",
    "max_tokens",
    "messages",
    "on_attempt",
    "providers",
    "reasks",
    "response_model",
    "retry",
    "schema",
    "stall_timeout",
    "structured_output",
    "system_prompt",
    "temperature",
    "timeout",
    "user_prompt",
)
SLIPS = {"key": "api_key", "prompt": "user_prompt", "retries": "retry", "system": "system_prompt"}

#: What is no parameter of LiteLLM's where parameters are given.
MISPLACED = {
    **dict.fromkeys(
        ("breaker", "failover_on", "on_attempt", "providers", "retry"),
        "is an option of LLMCascade, not a parameter of a call or a target",
    ),
    **dict.fromkeys(
        ("deadline", "hedge_after"), "is an option of LLMCascade or an argument of a call, not a parameter of a target"
    ),
    **dict.fromkeys(
        ("first_token_timeout", "stall_timeout"), "is an option of LLMCascade or an argument of get_response_stream"
    ),
    **dict.fromkeys(
        ("system_prompt", "user_prompt"), "belongs to a call, and not to acompletion, which takes messages"
    ),
    "messages": "belong to a call, not to a cascade or a target",
    "reasks": "is an option of LLMCascade or an argument of the calls that ask for JSON",
    "response_model": "belongs to get_structured_json_response",
    "schema": "belongs to get_json_response",
    "structured_output": "is a field of Target, not a parameter",
}

#: Parameters that LiteLLM takes apart before it looks at them.
DICTS = ("extra_body", "extra_headers", "headers", "metadata")


def build_messages(user_prompt: Any, system_prompt: Any, messages: Any) -> list[Message]:
    """The messages of a call, from its prompts or as given.

    Raises:
        InvalidRequestError: prompt and messages together, neither of them, or malformed messages.
    """
    if messages is not None:
        if user_prompt is not None or system_prompt is not None:
            raise InvalidRequestError("give either user_prompt (and system_prompt) or messages, not both")
        return check_messages(messages)
    if user_prompt is None:
        raise InvalidRequestError("nothing was asked: give user_prompt='…' or messages=[{'role': 'user', …}]")
    built: list[Message] = []
    for role, name, text in (("system", "system_prompt", system_prompt), ("user", "user_prompt", user_prompt)):
        if text is None:
            continue
        if not isinstance(text, str):
            raise InvalidRequestError(
                f"{name} must be a string, not {_kind(text)}; images and turns go in messages=[…]"
            )
        if not text.strip() and role == "user":
            raise InvalidRequestError("user_prompt is empty")
        built.append({"role": role, "content": text})
    return built


def check_messages(messages: Any) -> list[Message]:
    """The messages as a new list of dicts; LiteLLM's own message objects are taken, too.

    Raises:
        InvalidRequestError: they are not what OpenAI's chat format allows, in a way that no provider takes.
    """
    if isinstance(messages, str | bytes | Mapping) or not isinstance(messages, Sequence):
        raise InvalidRequestError(
            f"messages must be a list such as [{{'role': 'user', 'content': '…'}}], not {_kind(messages)}"
        )
    if not messages:
        raise InvalidRequestError("messages is empty; it needs at least one, such as {'role': 'user', 'content': '…'}")
    return [_check_message(message, f"messages[{index}]") for index, message in enumerate(messages)]


def _check_message(message: Any, where: str) -> Message:
    """One message as a dict of its own."""
    if hasattr(message, "model_dump"):  # the assistant's turn, taken from an earlier answer
        message = message.model_dump(exclude_none=True)
    if not isinstance(message, Mapping):
        raise InvalidRequestError(f"{where} must be a dict with a role and a content, not {_kind(message)}")
    role, content = message.get("role"), message.get("content")
    if role not in ROLES:
        given = f"the role {role!r}" if isinstance(role, str) else "no role"
        raise InvalidRequestError(f"{where} has {given}; expected one of {', '.join(ROLES)}")
    if content is None and not (role == "assistant" and (message.get("tool_calls") or message.get("function_call"))):
        raise InvalidRequestError(f"{where} has no content")
    if content is not None and not isinstance(content, str):
        _check_parts(content, where)
    return dict(message)


def _check_parts(content: Any, where: str) -> None:
    """See that a content which is no string is a list of parts."""
    if not isinstance(content, list | tuple) or not content:
        raise InvalidRequestError(f"{where} has {_kind(content)} as content; expected a string or a list of parts")
    for index, part in enumerate(content):
        if not isinstance(part, Mapping) or not isinstance(part.get("type"), str):
            raise InvalidRequestError(
                f"{where}['content'][{index}] must be a dict with a 'type', such as {{'type': 'text', 'text': '…'}}"
            )
        if part["type"] == "text" and not isinstance(part.get("text"), str):
            raise InvalidRequestError(f"{where}['content'][{index}] is a text part; its 'text' must be a string")


def check_params(
    params: Mapping[str, Any], providers: Iterable[str], error: type[MajordomoError], *, gateway: bool = False
) -> dict[str, Any]:
    """LiteLLM's parameters as they are given for a cascade or with a call, the switched-off ones left out.

    ``providers`` are those of all targets, ``gateway`` says that the cascade has one api_base for all.

    Raises:
        error: a parameter is refused here, or a key would be sent to another provider than its own.
    """
    for name, value in params.items():
        if problem := _problem(name, value):
            raise error(problem)
    checked = dict(params)
    if "base_url" in checked:  # LiteLLM's other name for it, which would win
        checked["api_base"] = checked.pop("base_url")
    for name in ("api_key", "api_base"):
        if checked.get(name, ...) is None:  # not given
            del checked[name]
    if "api_base" in checked and (problem := url_problem(checked["api_base"])):
        raise error(f"api_base {problem}, not {checked['api_base']!r}")
    if "api_key" in checked:
        gateway = gateway or "api_base" in checked
        checked["api_key"] = _check_key(checked["api_key"], sorted(set(providers)), error, gateway=gateway)
    return checked


def _problem(name: str, value: Any) -> str | None:
    """Why a parameter is not passed on to LiteLLM, None if it is."""
    if name in REPLACED:
        return f"{name!r} is not passed on to LiteLLM: use {REPLACED[name]}"
    if meant := _misspelt(name):
        return f"there is no {name!r}; did you mean {meant!r}?"
    if name in MISPLACED:
        return f"{name!r} {MISPLACED[name]}"
    if name == "stream" and value:
        return "stream=True: use get_response_stream, or acompletion, which takes it"
    if name in DICTS and value is not None:
        if not isinstance(value, dict):
            return f"{name} must be a dict, not {_kind(value)}"
        if "headers" in name and not all(isinstance(text, str) for text in value.values()):
            return f"{name} must be a dict of strings"
    return None


@lru_cache(maxsize=1024)
def _misspelt(name: str) -> str | None:
    """Which of our own names is meant by one that is almost it."""
    if name in OURS:
        return None
    return SLIPS.get(name) or next(iter(get_close_matches(name, OURS, n=1, cutoff=0.85)), None)


def _check_key(api_key: Any, providers: Sequence[str], error: type[MajordomoError], *, gateway: bool) -> str:
    """A key for several targets, if it can be sent, and belongs to all of them."""
    if isinstance(api_key, SecretStr):
        api_key = api_key.get_secret_value()
    if not isinstance(api_key, str):
        raise error(f"api_key must be a string, not {_kind(api_key)}")
    if problem := key_problem(api_key):
        raise error(f"api_key {problem}")
    if len(providers) > 1 and not gateway:
        raise error(
            f"one api_key can't be meant for {', '.join(providers)}: give each its own with "
            "Target(provider, model, api_key=…), or give api_base with it if one gateway serves them all"
        )
    return api_key


_CONTAINERS = (dict, list)  # a union would be made anew for every value


def fresh(value: Any) -> Any:
    """A copy of a dict or list and of those in it: LiteLLM writes into what it is handed. Leaves are shared."""
    if isinstance(value, dict):
        return {name: fresh(item) if isinstance(item, _CONTAINERS) else item for name, item in value.items()}
    return [fresh(item) if isinstance(item, _CONTAINERS) else item for item in value]


def _kind(value: Any) -> str:
    """What a value is, without showing it."""
    return "None" if value is None else f"{'an' if type(value).__name__[0] in 'aeiou' else 'a'} {type(value).__name__}"
