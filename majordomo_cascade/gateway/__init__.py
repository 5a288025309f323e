"""Everything that knows LiteLLM: the call, vendor profiles, error mapping, streams on the wire."""

from .abilities import KeyState, facts_of, find_key
from .catalog import resolve
from .client import NO_LIMIT, PAST_CACHE, TargetClient
from .completion import Completion
from .format_refusal import format_blame
from .inspector import StreamState
from .portal import SyncIterator, portal
from .session import Session
from .stream import ChunkReader, is_usage_only, text_of, tool_calls_of

__all__ = [
    "NO_LIMIT",
    "PAST_CACHE",
    "ChunkReader",
    "Completion",
    "KeyState",
    "Session",
    "StreamState",
    "SyncIterator",
    "TargetClient",
    "facts_of",
    "find_key",
    "format_blame",
    "is_usage_only",
    "portal",
    "resolve",
    "text_of",
    "tool_calls_of",
]
