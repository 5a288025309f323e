"""The wait before the same target is asked again. Nothing here sleeps."""

import backoff

from ..errors import (
    InvalidResponseError,
    MajordomoError,
    ProviderConnectionError,
    ProviderTimeoutError,
    ProviderUnavailableError,
    RateLimitError,
)
from ..options import RetryPolicy

#: Errors that the same target may get over in a moment.
RETRIED = (RateLimitError, ProviderUnavailableError, ProviderConnectionError, InvalidResponseError)


def wait_before_retry(
    policy: RetryPolicy, error: MajordomoError, tries: int, *, is_last: bool
) -> float | None:
    """Return the seconds to wait after the failed try number ``tries``; None to leave the target.

    A Retry-After is obeyed to the letter or not at all, never shortened. If no other target is
    left (``is_last``), a longer one is obeyed too, and a silent target is asked again.
    """
    is_retried = isinstance(error, RETRIED) or (is_last and isinstance(error, ProviderTimeoutError))
    if not is_retried or tries >= policy.attempts:
        return None
    retry_after = getattr(error, "retry_after", None)
    if retry_after is None:
        try:
            longest = min(policy.max_wait, policy.base * policy.factor ** (tries - 1))
        except OverflowError:
            longest = policy.max_wait
        return float(backoff.full_jitter(longest))
    patience = max(policy.max_wait, policy.max_retry_after) if is_last else policy.max_wait
    return float(retry_after) if retry_after <= patience else None
