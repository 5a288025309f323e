"""The knowledge of vendors, in one table."""

import re
from typing import NamedTuple

from ..options import Dialect


class Profile(NamedTuple):
    """The ways of the models whose ``provider/model`` matches a pattern."""

    pattern: str
    dialect: Dialect
    """How a JSON Schema is sent."""
    family: str | None = ""
    """The models whose private parts of a history it takes: a family's name, "" for itself alone,
    or None for no model."""
    thinks_first: bool = False
    """Whether it may refuse tool calls before which it did not think."""
    call_ids: str = "[a-zA-Z0-9_-]{1,40}"
    """The ids of tool calls that it takes. OpenAI sets the length, Anthropic the letters."""


#: The first one that matches counts.
PROFILES = (
    Profile("claude", "inlined", "claude", thinks_first=True),
    Profile("gemini", "plain", "gemini"),
    # https://github.com/nearai/ironclaw/issues/1241
    Profile("mistral|codestral|magistral", "strict", None, call_ids="[a-zA-Z0-9]{9}"),
    Profile("^groq/", "strict", None),
    Profile("", "strict"),
)


def profile_of(name: str) -> Profile:
    return next(profile for profile in PROFILES if re.search(profile.pattern, name))
