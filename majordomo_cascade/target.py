"""One entry of a cascade."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Never
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr

from .settings import Settings


def _not_empty(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be empty")
    return value


def _sendable_key(value: SecretStr) -> SecretStr:
    if problem := key_problem(value.get_secret_value()):
        raise ValueError(problem)
    return value


def _http_url(value: str) -> str:
    if problem := url_problem(value):
        raise ValueError(problem)
    return value


def _not_ours(value: dict[str, Any]) -> dict[str, Any]:
    for name in ("api_key", "api_base", "base_url", "timeout", "model", "messages"):
        if name in value:
            raise ValueError(f"must not hold {name!r}, which is a field of Target or an argument of the call")
    return value


def key_problem(key: str) -> str | None:
    """What keeps a key from being sent in an HTTP header, None if nothing does (RFC 9110, section 5.5)."""
    if not key:
        return "is empty; leave it out to let LiteLLM read the environment"
    if not (key.isascii() and key.isprintable()) or key != key.strip():
        return "holds a line break, a space at an end, or a character that is not ASCII; was it copied whole?"
    return None


def url_problem(url: Any) -> str | None:
    """What keeps ``url`` from being an API's base, None if nothing does."""
    if isinstance(url, str):
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and parts.netloc:
            return None
    return "must be a URL such as 'https://host/v1'"


class Target(Settings):
    """A provider and a model, with what is particular to them.

    Args:
        provider: LiteLLM's name of the provider (``litellm.provider_list``), checked when a cascade is built.
        model: the model's name, as in ``litellm.acompletion(model="provider/model")``.
        api_key: shown in no repr, log or error. Left out, LiteLLM reads it from the environment.
        api_base: the URL of a gateway, or of your own server.
        timeout: seconds for one attempt at this target; None for the cascade's.
        params: sent with every ``litellm.acompletion`` call to this target.
        structured_output: the surest way in which the model gives JSON, where LiteLLM does not know it or has it
            wrong: "json_schema" (a schema that its vendor keeps to), "json_mode", or "prompt" (in words only).

    Raises:
        ConfigurationError: a field is missing, unknown or of the wrong type.
    """

    provider: Annotated[str, AfterValidator(_not_empty)]
    model: Annotated[str, AfterValidator(_not_empty)]
    api_key: Annotated[SecretStr, AfterValidator(_sendable_key)] | None = None
    api_base: Annotated[str, AfterValidator(_http_url)] | None = Field(default=None, repr=False)  # may hold a password
    timeout: Annotated[float, Field(gt=0)] | None = None
    params: Annotated[dict[str, Any], AfterValidator(_not_ours)] = Field(default_factory=dict, repr=False)
    structured_output: Literal["json_schema", "json_mode", "prompt"] | None = None

    def __init__(
        self,
        provider: str,
        model: str,
        *,
        api_key: SecretStr | str | None = None,
        api_base: str | None = None,
        timeout: float | None = None,
        params: dict[str, Any] | None = None,
        structured_output: Literal["json_schema", "json_mode", "prompt"] | None = None,
        **unknown: Never,
    ) -> None:
        super().__init__(
            provider=provider,
            model=model,
            api_key=api_key,
            api_base=api_base,
            timeout=timeout,
            params=params if params is not None else {},
            structured_output=structured_output,
            **unknown,
        )
