"""The messages and parameters of a call, checked before any request goes out.

A mistake of the caller's must never look like an outage.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from .errors import BadRequestError, MajordomoError
from .options import check_key, check_url

Message = dict[str, Any]

#: The roles of OpenAI's chat format, which LiteLLM translates for every vendor.
ROLES = ("system", "developer", "user", "assistant", "tool", "function")

_OPTIONS = (
    "accept",
    "failover_on",
    "first_token_timeout",
    "hedge_after",
    "on_attempt",
    "retry",
    "stall_timeout",
    "telemetry",
)
_TARGETS = "the cascade's own list of providers"

#: Names that LiteLLM must not get. Most would change who is asked, how often or how long.
REPLACED = {
    **{name: f"cascade.with_options({name}=…)" for name in _OPTIONS},
    "breaker": "LLMCascade(…, breaker=…)",
    "context_window_fallback_dict": _TARGETS,
    "fallbacks": _TARGETS,
    "max_retries": "retry=RetryPolicy(attempts=…)",
    "model": _TARGETS,
    "model_list": _TARGETS,
    "num_retries": "retry=RetryPolicy(attempts=…)",
    "providers": "LLMCascade([…])",
    "request_timeout": "timeout=…, in seconds",
    "retry_policy": "retry=RetryPolicy(…)",
    "retry_strategy": "retry=RetryPolicy(…)",
    "schema": "response_format=…, or get_structured_json_response",
    "shared_health": "LLMCascade(…, shared_health=…)",
    "stream": "get_response_stream, or acompletion, which takes it",
    "validation_retries": "get_json_response or get_structured_json_response",
}

#: Left out if None, 0 or False, which ask for no more than is sent anyway.
OPTIONAL = ("api_base", "api_key", "max_retries", "num_retries", "stream")

HEADERS = ("extra_headers", "headers")


def _check_dict(value: Any) -> Any:
    if isinstance(value, dict | None):
        return value
    raise ValueError(f"must be a dict, not {type(value).__name__}")


def _check_headers(value: Any) -> Any:
    if _check_dict(value) and not all(isinstance(text, str) for text in value.values()):
        raise ValueError("must be a dict of strings")
    return value


#: Checks of the parameters that LiteLLM takes apart before it looks at them.
CHECKS: dict[str, Callable[[Any], Any]] = {
    "api_base": check_url,
    "api_key": check_key,
    "extra_body": _check_dict,
    "metadata": _check_dict,
    **dict.fromkeys(HEADERS, _check_headers),
}


def build_messages(user_prompt: Any, system_prompt: Any, messages: Any) -> list[Message]:
    """Return the messages of a call, from its prompts or as given.

    Raises:
        BadRequestError: both are given, or neither, or they are malformed.
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
            raise _misfit(f"{role}_prompt", "a string (images go in messages=[…])", text)
    if not user_prompt.strip():
        raise BadRequestError("user_prompt is empty")
    return built


def check_messages(messages: Any) -> list[Message]:
    """Return the messages as new dicts. LiteLLM's own message objects are taken, too.

    Raises:
        BadRequestError: they break OpenAI's chat format in a way that no provider takes.
    """
    example = "a list such as [{'role': 'user', 'content': '…'}]"
    if isinstance(messages, str | bytes) or not isinstance(messages, Sequence):
        raise _misfit("messages", example, messages)
    if not messages:
        raise BadRequestError(f"messages is empty; expected {example}")
    return [_check_message(message, f"messages[{index}]") for index, message in enumerate(messages)]


def _check_message(message: Any, where: str) -> Message:
    if not isinstance(message, dict):
        if hasattr(message, "model_dump"):  # the assistant's turn, taken from an earlier answer
            message = message.model_dump(exclude_none=True)
        if not isinstance(message, Mapping):
            raise _misfit(where, "a dict with a role and a content", message)
    role = message.get("role")
    if role not in ROLES:
        given = f"the role {role!r}" if isinstance(role, str) else "no role"
        raise BadRequestError(f"{where} has {given}; expected one of {', '.join(ROLES)}")
    content = message.get("content")
    if content is None:
        if role != "assistant" or not (message.get("tool_calls") or message.get("function_call")):
            raise BadRequestError(f"{where} has no content")
    elif not isinstance(content, str):
        _check_parts(content, f"{where}['content']")
    if role == "tool" and not isinstance(message.get("tool_call_id"), str):
        raise BadRequestError(
            f"{where} has no tool_call_id; expected the id of the call it answers"
        )
    calls = message.get("tool_calls") or []
    if not isinstance(calls, list | tuple) or not all(
        isinstance(call, Mapping) or hasattr(call, "model_dump") for call in calls
    ):
        raise _misfit(f"{where}['tool_calls']", "a list of tool calls in OpenAI's format", calls)
    return dict(message)


def _check_parts(content: Any, where: str) -> None:
    if not isinstance(content, list | tuple) or not content:
        raise _misfit(where, "a string or a list of one part or more", content)
    for index, part in enumerate(content):
        if not isinstance(part, Mapping) or not isinstance(part.get("type"), str):
            raise BadRequestError(
                f"{where}[{index}] must be a dict such as {{'type': 'text', 'text': '…'}}"
            )
        if part["type"] == "text" and not isinstance(part.get("text"), str):
            raise BadRequestError(f"{where}[{index}]['text'] must be a string")


def _misfit(name: str, wanted: str, given: Any) -> BadRequestError:
    return BadRequestError(f"{name} must be {wanted}, not {type(given).__name__}")


def check_params(
    params: Mapping[str, Any],
    providers: Collection[str],
    error: type[MajordomoError],
    *,
    is_gateway: bool = False,
) -> dict[str, Any]:
    """Return the parameters of a cascade, a target or a call, ready to be merged.

    Args:
        providers: those of all targets that would get them.
        is_gateway: one ``api_base`` of the cascade's serves all targets.

    Raises:
        error: a parameter is refused, or a key would be sent to another provider than its own.
    """
    checked: dict[str, Any] = {}
    for given, value in params.items():
        name = "api_base" if given == "base_url" else given
        if name in OPTIONAL and value in (None, 0):
            continue
        if name in REPLACED:
            raise error(f"{name!r} is not passed on to LiteLLM: use {REPLACED[name]}")
        try:
            checked[name] = CHECKS[name](value) if name in CHECKS else value
        except ValueError as problem:
            raise error(f"{name} {problem}") from None
    if "api_key" in checked and "api_base" not in checked and not is_gateway:
        vendors = sorted(set(providers))
        if len(vendors) > 1:
            raise error(
                f"one api_key can't be meant for {', '.join(vendors)}: give each its own with "
                "Target(…, api_key=…), or also give api_base if one gateway serves them all"
            )
    return checked


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
            params[name] = kept | second[name]
    return params
