"""The stream that a caller holds."""

from .source import Source, StreamQuestion
from .stream import ChunkStream, LLMStreamResponse, StreamRestarted, TextDelta, ToolCallDelta

__all__ = [
    "ChunkStream",
    "LLMStreamResponse",
    "Source",
    "StreamQuestion",
    "StreamRestarted",
    "TextDelta",
    "ToolCallDelta",
]
