"""The stream that a caller holds."""

from .source import Source, StreamQuestion
from .stream import (
    ChunkStream,
    Event,
    LLMStreamResponse,
    StreamInfo,
    StreamRestarted,
    TextDelta,
    ToolCallDelta,
)

__all__ = [
    "ChunkStream",
    "Event",
    "LLMStreamResponse",
    "Source",
    "StreamInfo",
    "StreamQuestion",
    "StreamRestarted",
    "TextDelta",
    "ToolCallDelta",
]
