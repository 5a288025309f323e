"""Tell whether the way in which JSON was asked for is at fault for an error."""

import re
import traceback
from typing import Literal

from ..errors import BadRequestError, MajordomoError, UnsupportedRequestError
from .error_mapping import HOST_GUARDS
from .evidence import gather
from .redaction import LONGEST_TEXT

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
    elif isinstance(error, MajordomoError):
        is_refused = evidence.says(BROKEN_ANSWER)
    else:  # a bug of LiteLLM's
        *_, (frame, _) = traceback.walk_tb(error.__traceback__)
        is_litellms = frame.f_globals.get("__name__", "").startswith("litellm.")
        is_refused = is_litellms and type(error).__name__ not in HOST_GUARDS
    return "refused" if is_refused else None
