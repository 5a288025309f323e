"""The requests of one call to one target. Each is made fit for what the ones before it met."""

from asyncio import Timeout
from collections.abc import Callable

from ..request import Message
from .client import Params, TargetClient
from .completion import Completion
from .evidence import NOTHING
from .stream import ChunkReader


class Session:
    """Asks one target. From the second request on, LiteLLM's cache is passed by."""

    __slots__ = ("_client", "_history", "_is_cached", "_requests")

    def __init__(self, client: TargetClient) -> None:
        self._client = client
        self._history = client.history()
        self._requests = 0
        self._is_cached = False

    async def complete(
        self, messages: list[Message], params: Params, added: Params = NOTHING
    ) -> Completion:
        """Ask as ``TargetClient.complete``."""
        fit, past_cache = self._begin(messages)
        completion = await self._client.complete(fit, params, added, past_cache=past_cache)
        self._is_cached = completion.is_cached
        return completion

    async def stream(
        self, messages: list[Message], params: Params, last_words: Callable[[], Timeout]
    ) -> ChunkReader:
        """Ask as ``TargetClient.stream``."""
        fit, past_cache = self._begin(messages)
        chunks = await self._client.stream(fit, params, last_words, past_cache=past_cache)
        self._is_cached = chunks.is_cached
        return chunks

    def _begin(self, messages: list[Message]) -> tuple[list[Message], bool]:
        """Return the messages as the target takes them, and whether to pass by the cache."""
        self._requests += 1
        self._is_cached = False
        return self._history.fit(messages), self._requests > 1

    def goes_on(self, error: Exception) -> bool:
        """Return whether to ask once more at once: past the cache, or without private parts."""
        return self._is_cached or self._history.gives_way_to(error)
