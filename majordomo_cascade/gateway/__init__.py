"""Everything that knows LiteLLM: the call, vendor profiles, error mapping, streams on the wire."""

from .catalog import resolve
from .client import NO_LIMIT, TargetClient
from .completion import Completion
from .format_refusal import format_blame
from .inspector import StreamState
from .portal import SyncIterator, portal
from .session import Session
from .stream import ChunkReader, is_usage_only, text_of, tool_calls_of

__all__ = [
    "NO_LIMIT",
    "ChunkReader",
    "Completion",
    "Session",
    "StreamState",
    "SyncIterator",
    "TargetClient",
    "format_blame",
    "is_usage_only",
    "portal",
    "resolve",
    "text_of",
    "tool_calls_of",
]
