"""The messages and parameters of a call, checked before any request goes out.

A mistake of the caller's must never look like an outage.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pydantic import SecretStr

from .errors import BadRequestError, MajordomoError
from .options import key_problem, url_problem

Message = dict[str, Any]

#: The roles of OpenAI's chat format, which LiteLLM translates for every vendor.
ROLES = ("system", "developer", "user", "assistant", "tool", "function")

#: Options of a cascade, which a vendor would not know.
OPTIONS = (
    "accept",
    "failover_on",
    "first_token_timeout",
    "hedge_after",
    "on_attempt",
    "retry",
    "stall_timeout",
)

_TARGETS = "the cascade's own list of providers"

#: Names that LiteLLM must not get, because they would change who is asked, how often or how long.
REPLACED = {
    "breaker": "LLMCascade(…, breaker=…)",
    "context_window_fallback_dict": f"{_TARGETS}, which takes over when a prompt is too long",
    "fallbacks": _TARGETS,
    "max_retries": "retry=RetryPolicy(attempts=…)",
    "model": _TARGETS,
    "model_list": _TARGETS,
    "num_retries": "retry=RetryPolicy(attempts=…)",
    "providers": "LLMCascade([…])",
    "request_timeout": "timeout=…, in seconds",
    "retry_policy": "retry=RetryPolicy(…)",
    "retry_strategy": "retry=RetryPolicy(…)",
    "schema": "response_format=…, or a type with get_structured_json_response",
    "validation_retries": "get_json_response or get_structured_json_response, which take it",
}

#: Counts of LiteLLM's that may be given as 0 or None, which is what is sent anyway.
RETRY_COUNTS = ("max_retries", "num_retries")

#: Parameters that LiteLLM takes apart before it looks at them.
DICTS = ("extra_body", "extra_headers", "headers", "metadata")

HEADERS = ("extra_headers", "headers")


def build_messages(user_prompt: Any, system_prompt: Any, messages: Any) -> list[Message]:
    """Return the messages of a call, from its prompts or as given.

    Raises:
        BadRequestError: prompt and messages together, neither of them, or malformed messages.
    """
    if messages is not None:
        if user_prompt is not None or system_prompt is not None:
            raise BadRequestError(
                "give either user_prompt (and system_prompt) or messages, not both"
            )
        return check_messages(messages)
    if user_prompt is None:
        raise BadRequestError(
            "nothing was asked: give user_prompt='…' or messages=[{'role': 'user', …}]"
        )
    built = []
    for role, text in (("system", system_prompt), ("user", user_prompt)):
        if isinstance(text, str):
            built.append({"role": role, "content": text})
        elif text is not None:
            raise BadRequestError(
                f"{role}_prompt must be a string, not {_kind(text)}; images and turns go in "
                "messages=[…]"
            )
    if not user_prompt.strip():
        raise BadRequestError("user_prompt is empty")
    return built


def check_messages(messages: Any) -> list[Message]:
    """Return the messages as a new list of dicts; LiteLLM's own message objects are taken, too.

    Raises:
        BadRequestError: OpenAI's chat format does not allow them, in a way that no provider takes.
    """
    example = "a list such as [{'role': 'user', 'content': '…'}]"
    if isinstance(messages, str | bytes | Mapping) or not isinstance(messages, Sequence):
        raise BadRequestError(f"messages must be {example}, not {_kind(messages)}")
    if not messages:
        raise BadRequestError(f"messages is empty; expected {example}")
    return [_check_message(message, f"messages[{index}]") for index, message in enumerate(messages)]


def _check_message(message: Any, where: str) -> Message:
    """Return one message as a dict of its own."""
    if hasattr(message, "model_dump"):  # the assistant's turn, taken from an earlier answer
        message = message.model_dump(exclude_none=True)
    if not isinstance(message, Mapping):
        raise BadRequestError(
            f"{where} must be a dict with a role and a content, not {_kind(message)}"
        )
    role = message.get("role")
    if role not in ROLES:
        given = f"the role {role!r}" if isinstance(role, str) else "no role"
        raise BadRequestError(f"{where} has {given}; expected one of {', '.join(ROLES)}")
    content = message.get("content")
    if content is None:
        calls = message.get("tool_calls") or message.get("function_call")
        if role != "assistant" or not calls:
            raise BadRequestError(f"{where} has no content")
    elif not isinstance(content, str):
        _check_parts(content, where)
    return dict(message)


def _check_parts(content: Any, where: str) -> None:
    """Check that a content which is no string is a list of parts."""
    if not isinstance(content, list | tuple) or not content:
        raise BadRequestError(
            f"{where} has {_kind(content)} as content; expected a string or a list of parts"
        )
    for index, part in enumerate(content):
        here = f"{where}['content'][{index}]"
        if not isinstance(part, Mapping) or not isinstance(part.get("type"), str):
            raise BadRequestError(
                f"{here} must be a dict with a 'type', such as {{'type': 'text', 'text': '…'}}"
            )
        if part["type"] == "text" and not isinstance(part.get("text"), str):
            raise BadRequestError(f"{here} is a text part; its 'text' must be a string")


def check_params(
    params: Mapping[str, Any],
    providers: Collection[str],
    error: type[MajordomoError],
    *,
    is_gateway: bool = False,
) -> dict[str, Any]:
    """Return the parameters of a cascade, a target or a call, ready to be merged.

    Args:
        params: by LiteLLM's names.
        providers: those of all targets that would get them.
        error: the error to raise.
        is_gateway: whether one ``api_base`` of the cascade's serves all targets.

    Raises:
        error: a parameter is refused, or a key would be sent to another provider than its own.
    """
    checked = {}
    for name, value in params.items():
        if name in RETRY_COUNTS and (value is None or value == 0):
            continue
        if problem := _problem(name, value):
            raise error(problem)
        checked["api_base" if name == "base_url" else name] = value
    for name in ("api_key", "api_base"):
        if checked.get(name, "given") is None:
            del checked[name]
    if "api_base" in checked and (problem := url_problem(checked["api_base"])):
        raise error(f"api_base {problem}, not {checked['api_base']!r}")
    if "api_key" in checked:
        vendors = [] if is_gateway or "api_base" in checked else sorted(set(providers))
        checked["api_key"] = _check_key(checked["api_key"], vendors, error)
    return checked


def _problem(name: str, value: Any) -> str | None:
    """Tell why a parameter is not passed on to LiteLLM."""
    if name in OPTIONS:
        return f"{name!r} is an option of a cascade: use cascade.with_options({name}=…)"
    if name in REPLACED:
        return f"{name!r} is not passed on to LiteLLM: use {REPLACED[name]}"
    if name == "stream" and value:
        return "stream=True: use get_response_stream, or acompletion, which takes it"
    if name not in DICTS or value is None:
        return None
    if not isinstance(value, dict):
        return f"{name} must be a dict, not {_kind(value)}"
    if name in HEADERS and not all(isinstance(text, str) for text in value.values()):
        return f"{name} must be a dict of strings"
    return None


def _check_key(api_key: Any, vendors: list[str], error: type[MajordomoError]) -> str:
    """Check that a key can be sent, and that it is for one vendor."""
    if isinstance(api_key, SecretStr):
        api_key = api_key.get_secret_value()
    if not isinstance(api_key, str):
        raise error(f"api_key must be a string, not {_kind(api_key)}")
    if problem := key_problem(api_key):
        raise error(f"api_key {problem}")
    if len(vendors) > 1:
        raise error(
            f"one api_key can't be meant for {', '.join(vendors)}: give each its own with "
            "Target(provider, model, api_key=…), or give api_base with it if one gateway "
            "serves them all"
        )
    return api_key


_CONTAINERS = (dict, list)  # a union would be made anew for every value


def copy(value: Any) -> Any:
    """Copy a dict or list and those in it: LiteLLM writes into what it gets. Leaves are shared."""
    if isinstance(value, dict):
        return {
            name: copy(item) if isinstance(item, _CONTAINERS) else item
            for name, item in value.items()
        }
    return [copy(item) if isinstance(item, _CONTAINERS) else item for item in value]


def merged(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Merge two levels of parameters; the second one wins, in headers name by name."""
    params = {**first, **second}
    if not second:
        return params
    for name in HEADERS:
        if first.get(name) and second.get(name):
            given = {header.lower() for header in second[name]}
            kept = {key: value for key, value in first[name].items() if key.lower() not in given}
            params[name] = {**kept, **second[name]}
    return params


def _kind(value: Any) -> str:
    """Name the type of a value, without showing the value."""
    if value is None:
        return "None"
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"
