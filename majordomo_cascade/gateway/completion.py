"""An answer of LiteLLM's, read: its text, and why it ended."""

import re
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from ..errors import ContentPolicyError, InvalidResponseError, ResponseTruncatedError
from ..options import Target
from ..responses import Usage

#: The form of a finish reason; the longest that vendors have is of 28 letters.
_WORD = re.compile(r"\w{1,32}")

#: The parts of an answer that are no text.
OTHER_PARTS = ("tool_calls", "function_call", "images", "audio")


@dataclass(frozen=True, slots=True)
class Completion:
    """An answer of LiteLLM's, and what it used."""

    raw: Any
    target: Target
    usage: Usage
    cost: float | None
    """US dollars; None if LiteLLM has no price."""
    is_cached: bool = False
    """Whether it came from LiteLLM's cache."""

    @property
    def finish_reason(self) -> str | None:
        """Why the model stopped; None if that is no single word."""
        reason = getattr(self._choice, "finish_reason", None)
        return reason if isinstance(reason, str) and _WORD.fullmatch(reason) else None

    @property
    def tool_calls(self) -> tuple[Any, ...]:
        calls = getattr(self._message, "tool_calls", None)
        return tuple(calls) if isinstance(calls, list) else ()

    def text(self) -> str:
        """Return the text of the first choice, "" if it is tool calls, images or sound.

        Raises:
            ContentPolicyError: a safety system, or the model itself, refused.
            ResponseTruncatedError: the answer was cut before any text came.
            InvalidResponseError: there is no choice, or nothing in it.
        """
        message = self._message
        reason = self.finish_reason
        if reason == "content_filter" or _has_refusal(message):
            raise ContentPolicyError(
                f"{self.target.name} refused: the answer was held back by a safety system"
            )
        text = getattr(message, "content", None)
        if isinstance(text, str) and text.strip():
            return text
        if any(getattr(message, part, None) for part in OTHER_PARTS):
            return text or ""
        if reason == "length":
            raise self._truncated("")
        problem = "has no choices" if message is None else "is empty"
        raise InvalidResponseError(
            f"{self.target.name}: the answer {problem}",
            provider=self.target.provider,
            model=self.target.model,
        )

    def whole_text(self) -> str:
        """Return the text, if all of it came: half of a JSON text is of no use.

        Raises: as ``text``, and ResponseTruncatedError whenever the answer was cut.
        """
        text = self.text()
        if self.finish_reason == "length":
            raise self._truncated(text)
        return text

    @property
    def _choice(self) -> Any:
        choices = getattr(self.raw, "choices", None)
        return choices[0] if choices else None

    @property
    def _message(self) -> Any:
        return getattr(self._choice, "message", None)

    def _truncated(self, text: str) -> ResponseTruncatedError:
        where = f"after {len(text)} characters" if text else "before any text came"
        # LiteLLM reports a spent context window as a spent max_tokens, so both are named.
        return ResponseTruncatedError(
            f"{self.target.name}: the answer was cut {where}, by max_tokens or by the end of the "
            "context window; raise max_tokens, or ask for less",
            provider=self.target.provider,
            model=self.target.model,
            partial_content=text,
        )


def _has_refusal(message: Any) -> bool:
    """Find OpenAI's ``refusal``, which LiteLLM keeps in one place or another by version."""
    if isinstance(message, BaseModel):  # pydantic is slow to miss an attribute
        refusal = vars(message).get("refusal") or (message.model_extra or {}).get("refusal")
    else:
        refusal = getattr(message, "refusal", None)
    if not refusal:
        others = getattr(message, "provider_specific_fields", None)
        refusal = others.get("refusal") if isinstance(others, dict) else None
    return isinstance(refusal, str) and refusal != ""  # a test's mock has every attribute
