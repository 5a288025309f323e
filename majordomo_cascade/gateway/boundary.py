"""The block in which LiteLLM runs: its exceptions come out as errors of this package."""

import contextlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import MajordomoError
from ..options import Target
from ..redaction import CREDENTIAL, brings_credentials
from .error_mapping import our_error
from .evidence import Evidence, chain, gather
from .inspector import NotWholeError, WireInspector


@dataclass(repr=False, slots=True)  # what is sent holds keys
class ErrorBoundary:
    """Maps the errors of one request, for whole answers and streams alike."""

    litellm: Any
    target: Target
    sent: Mapping[str, Any]
    has_begun: bool = False
    """Whether some of a stream had come."""
    wire: list[WireInspector] = field(default_factory=list)
    """The inspector of a stream, once its head had come."""
    _outside: BaseException | None = None

    def __enter__(self) -> None:
        self._outside = sys.exception()

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        outside, self._outside = self._outside, None
        if not isinstance(error, Exception):
            return
        for link in chain(error):
            if link.__context__ is outside:  # Python puts there what the caller is handling
                link.__context__ = None
        for link in chain(error):
            if isinstance(link, MajordomoError) and link is not error:
                raise link from link.__cause__  # the target is another cascade
        ours = our_error(self._evidence(error), self.target, self._key_advice)
        if ours is error:
            return
        raise ours from (error if isinstance(ours, MajordomoError) else ours.__cause__)

    def _evidence(self, error: Exception) -> Evidence:
        names = ("api_key", f"{self.target.provider}_key")  # LiteLLM's globals
        sent = {**{name: getattr(self.litellm, name, None) for name in names}, **self.sent}
        event = None
        for inspector in self.wire:
            event = inspector.error_event
            if inspector.problem:  # counts more than what LiteLLM makes of it
                error = NotWholeError(inspector.problem)
        return gather(error, sent, is_reading=self.has_begun or bool(self.wire), event=event)

    def _key_advice(self) -> str:
        missing = ""
        if not brings_credentials(self.sent):
            with contextlib.suppress(Exception):
                model = f"{self.target.provider}/{self.target.model}"
                found = self.litellm.validate_environment(model=model)
                missing = " or ".join(filter(CREDENTIAL.search, found["missing_keys"]))
        return missing and f"; set {missing}, or api_key=… on its Target"
