"""The block in which LiteLLM runs: its exceptions come out as errors of this package."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping
from typing import Any

from ..errors import MajordomoError
from .error_mapping import our_error
from .evidence import Evidence, chain, gather
from .inspector import NotWholeError, WireInspector
from .redaction import CREDENTIAL, brings_credentials


class ErrorBoundary:
    """Maps the errors of one request, for whole answers and streams alike."""

    def __init__(self, litellm: Any, provider: str, model: str, sent: Mapping[str, Any]) -> None:
        self._litellm = litellm
        self._provider = provider
        self._model = model
        self._sent = sent
        self._outside: BaseException | None = None
        self.has_begun = False
        """Whether some of a stream had come."""
        self.wire: list[WireInspector] = []
        """The inspector of a stream, once its head had come."""

    def __enter__(self) -> None:
        self._outside = sys.exception()

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        outside, self._outside = self._outside, None
        if not isinstance(error, Exception):
            return
        if outside is not None:
            _cut_off(error, outside)
        ours = our_error(self._evidence(error), self._provider, self._model, self._key_advice)
        if isinstance(ours, MajordomoError):
            raise ours from error
        if ours is not error:
            raise ours from ours.__cause__

    def _evidence(self, error: Exception) -> Evidence:
        names = ("api_key", f"{self._provider}_key")  # LiteLLM's globals
        sent = {**{name: getattr(self._litellm, name, None) for name in names}, **self._sent}
        if not self.wire:
            return gather(error, sent, is_reading=self.has_begun)
        inspector = self.wire[-1]
        if inspector.problem:  # counts more than what LiteLLM makes of it
            error = NotWholeError(inspector.problem)
        return gather(error, sent, is_reading=True, event=inspector.error_event)

    def _key_advice(self) -> str:
        missing = []
        if not brings_credentials(self._sent):
            with contextlib.suppress(Exception):
                found = self._litellm.validate_environment(model=f"{self._provider}/{self._model}")
                missing = [name for name in found["missing_keys"] if CREDENTIAL.search(name)]
        return f"set {' or '.join(missing)}, or api_key=… on its Target" if missing else ""


def _cut_off(error: BaseException, outside: BaseException) -> None:
    """Take the exception that the caller was handling off the chain, where Python puts it."""
    for link in chain(error):
        if link.__context__ is outside:
            link.__context__ = None
            return
