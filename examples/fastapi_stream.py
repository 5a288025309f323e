"""Stream answers from a FastAPI endpoint as server-sent events, and survive clients that leave.

Runs on fake providers on loopback ports, and a real server: no keys, no network.
"""

import asyncio
import json
import socket
from collections.abc import AsyncIterator

import httpx
import uvicorn
from fastapi import FastAPI, HTTPException
from fastapi.responses import StreamingResponse

from majordomo_cascade import (
    LLMCascade,
    LLMStreamResponse,
    ProviderError,
    StreamRestarted,
    TextDelta,
    ToolCallDelta,
)
from majordomo_cascade.testing import BrokenStream, FakeProvider, Reply, Status

app = FastAPI()


@app.get("/ask")
async def ask(question: str) -> StreamingResponse:
    """Answer a question. The status is known before the first word is sent."""
    cascade: LLMCascade = app.state.cascade
    try:
        stream = await cascade.get_response_stream(question)
    except ProviderError as error:
        raise HTTPException(503, "No provider can answer now.") from error
    return StreamingResponse(tell(stream), media_type="text/event-stream")


async def tell(stream: LLMStreamResponse) -> AsyncIterator[str]:
    """Yield an answer as server-sent events. The stream is closed if the client leaves."""
    async with stream:
        async for event in stream.events():
            match event:
                case TextDelta(text):
                    yield sent("text", text)
                case ToolCallDelta():
                    yield sent("tool_call", [event.index, event.name, event.arguments])
                case StreamRestarted():  # the page clears what it has shown
                    yield sent("restart", event.provider)
    yield sent("end", {"served": f"{stream.provider}/{stream.model}", "cost": stream.cost})


def sent(kind: str, data: object) -> str:
    """Return an event as it is sent."""
    return f"event: {kind}\ndata: {json.dumps(data)}\n\n"


async def visit(url: str, *, leaves: bool) -> None:
    """Ask as a browser would, and perhaps leave after the first event."""
    params = {"question": "What does a majordomo do?"}
    async with (
        httpx.AsyncClient() as client,
        client.stream("GET", f"{url}/ask", params=params) as page,
    ):
        print(f"  {page.status_code}")
        async for line in page.aiter_lines():
            if line.startswith("data:"):
                print(f"  {line}")
                if leaves:
                    return


async def main() -> None:
    with (
        FakeProvider(Status(503)) as anthropic,
        FakeProvider(Reply("He runs the house."), BrokenStream("stall", "He runs")) as openai,
    ):
        app.state.cascade = LLMCascade(
            [
                anthropic.target("anthropic", "claude-sonnet-5-5"),
                openai.target("openai", "gpt-5.4-mini"),
            ]
        )
        listener = socket.create_server(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        serving = asyncio.create_task(server.serve([listener]))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"

        print("1. Anthropic is down. OpenAI answers.")
        await visit(url, leaves=False)

        print("2. The client leaves, while OpenAI is still writing.")
        await visit(url, leaves=True)
        while openai.pending:  # noqa: ASYNC110 - of another thread
            await asyncio.sleep(0.01)
        print("  OpenAI's stream was closed, so nothing more is paid for.")

        server.should_exit = True
        await serving


if __name__ == "__main__":
    asyncio.run(main())
