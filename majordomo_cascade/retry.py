"""How long to wait before the same target is asked again. Pure: nothing here sleeps."""

from __future__ import annotations

from itertools import islice
from typing import Annotated

import backoff
from pydantic import Field

from .errors import (
    InvalidResponseError,
    MajordomoError,
    ProviderConnectionError,
    ProviderTimeoutError,
    ProviderUnavailableError,
    RateLimitError,
)
from .settings import Settings

#: Errors that the same target may get over in a moment.
RETRIED = (RateLimitError, ProviderUnavailableError, ProviderConnectionError, InvalidResponseError)


class RetryPolicy(Settings):
    """How often one target is asked, and how long is waited in between. Times are seconds.

    The waits are drawn between 0 and ``base * factor**n``, at most ``max_wait`` ("full jitter", the least
    work for a recovering server: https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/).
    """

    attempts: Annotated[int, Field(ge=1)] = 3
    """Requests to one target, the first included."""
    base: Annotated[float, Field(ge=0)] = 0.5
    """The longest first wait."""
    factor: Annotated[float, Field(ge=1)] = 2.0
    """By how much the longest wait grows each time."""
    max_wait: Annotated[float, Field(ge=0)] = 4.0
    """The longest wait of all; a Retry-After up to this is obeyed with another target still left."""
    max_retry_after: Annotated[float, Field(ge=0)] = 30.0
    """The longest Retry-After that is obeyed where no other target is left."""

    def wait(self, error: MajordomoError, number: int, *, last: bool) -> float | None:
        """Seconds to wait after attempt ``number`` failed with ``error``; None to leave this target.

        A Retry-After is obeyed to the letter or not at all, never shortened. ``last`` says that no other
        target is left: then a longer one is obeyed too, and a silent target is asked again.
        """
        if number >= self.attempts or not isinstance(error, (*RETRIED, ProviderTimeoutError)):
            return None
        if isinstance(error, ProviderTimeoutError) and not last:
            return None
        if error.retry_after is not None:
            return error.retry_after if error.retry_after <= self._patience(last=last) else None
        return float(backoff.full_jitter(self._ceiling(number)))

    def _patience(self, *, last: bool) -> float:
        """The longest Retry-After that is worth obeying."""
        return max(self.max_wait, self.max_retry_after) if last else self.max_wait

    def _ceiling(self, number: int) -> float:
        """The longest wait after attempt ``number``: ``base * factor**(number - 1)``, capped."""
        growing = backoff.expo(base=self.factor, factor=self.base, max_value=self.max_wait)
        return float(next(islice(growing, number, None)))  # the generator's first value is a None
