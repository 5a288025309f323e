"""The knowledge of vendors, in one table."""

import re
from typing import NamedTuple

from ..options import Dialect


class Profile(NamedTuple):
    """The ways of the models whose ``provider/model`` matches a pattern."""

    pattern: str
    dialect: Dialect
    """How a JSON Schema is sent."""


#: The first one that matches counts.
PROFILES = (Profile("claude", "inlined"), Profile("gemini", "plain"), Profile("", "strict"))


def profile_of(name: str) -> Profile:
    return next(profile for profile in PROFILES if re.search(profile.pattern, name))
