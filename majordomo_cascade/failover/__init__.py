"""The order, the waits and the time limits of a call. Knows nothing of LiteLLM."""

from .call import Call, Limits, Rules
from .clock import Clock, SystemClock
from .health import Breaker, CascadeHealth, TargetHealth, Verdict
from .order import serve
from .turn import RunningAttempt, TimeLimit, Turn

__all__ = [
    "Breaker",
    "Call",
    "CascadeHealth",
    "Clock",
    "Limits",
    "Rules",
    "RunningAttempt",
    "SystemClock",
    "TargetHealth",
    "TimeLimit",
    "Turn",
    "Verdict",
    "serve",
]
