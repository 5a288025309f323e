"""Tell whether the way in which JSON was asked for is at fault for an error."""

import re
from typing import Literal

from ..errors import (
    BadRequestError,
    MajordomoError,
    ProviderSetupError,
    UnsupportedRequestError,
)
from ..redaction import LONGEST_TEXT
from .error_mapping import HOST_GUARDS, SETTING
from .evidence import gather

#: A 400 or 422 with these words refuses the form of the answer, not the question. The last one is
#: Gemini's, for a schema that is too large.
FORMAT = re.compile(
    r"(response|output|text).?(format|mime|schema|json|config)|json.?(mode|object)|schema"
    r"|structured.?output|grammar|guided|request contains an invalid argument",
    re.IGNORECASE,
)
#: Groq's code for a model that did not write the JSON that its format asked for.
FAILED_FORMAT = "json_validate_failed"
#: LiteLLM breaking on its own object, as with Groq's answers without service_tier.
BROKEN_ANSWER = "'ModelResponse' object has no attribute"


def format_blame(error: Exception) -> Literal["refused", "failed"] | None:
    """Return whether the format was "refused", or the model "failed" at it by its vendor's word."""
    evidence = gather(error)
    if isinstance(error, BadRequestError | UnsupportedRequestError):
        said = evidence.text or str(error.__cause__)[:LONGEST_TEXT]
        if FAILED_FORMAT in said:
            return "failed"
        is_refused = FORMAT.search(said) is not None
    elif isinstance(error, MajordomoError) and not isinstance(error, ProviderSetupError):
        is_refused = evidence.says(BROKEN_ANSWER) != ""
    else:  # perhaps LiteLLM broke on the format
        is_known = evidence.has("ImportError", *HOST_GUARDS) or evidence.says(SETTING)
        is_refused = evidence.is_of_target and not is_known
    return "refused" if is_refused else None
