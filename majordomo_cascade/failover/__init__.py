"""The order, the waits and the time limits of a call. Knows nothing of LiteLLM."""

from .call import Call, Limits, Rules
from .clock import Clock, SystemClock
from .health import LONGEST_RETRY_AFTER, Breaker, CascadeHealth, TargetHealth, Verdict
from .order import serve
from .peers import Notice, Peers
from .turn import RunningAttempt, TimeLimit, Turn

__all__ = [
    "LONGEST_RETRY_AFTER",
    "Breaker",
    "Call",
    "CascadeHealth",
    "Clock",
    "Limits",
    "Notice",
    "Peers",
    "Rules",
    "RunningAttempt",
    "SystemClock",
    "TargetHealth",
    "TimeLimit",
    "Turn",
    "Verdict",
    "serve",
]
