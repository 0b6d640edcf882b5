"""Search behind a web service: answers, events as they come, and clients that leave.

    uvicorn --app-dir examples web_app:app
    gunicorn --chdir examples --preload --workers 2 --worker-class asgi web_app:app

A client that leaves ends its search between two tokens. With `--preload` the model is loaded
once, before the workers are forked, and its weights are shared by all; nothing may search before
that. Needs `fastapi` and `uvicorn`; run as a program, it starts itself and asks itself.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from langchain_qstar import QStarError, RStarChain, Solution

QUESTION = (
    "Ann has 3 boxes with 4 pens each. She gives away 5 pens. How many pens does she have now?"
)

chain = RStarChain("nano", settings={"num_rollouts": 32})
app = FastAPI()
counts = {"running": 0, "left": 0}


class Asked(BaseModel):
    """What a client sends; the caps are the service's, whatever a client would like."""

    question: str = Field(max_length=4000)
    seed: int = 0
    seconds: float = Field(60.0, gt=0, le=60)


class Answered(BaseModel):
    """What it gets."""

    answer: str | None
    stopped: str
    tokens: int
    shortfalls: tuple[str, ...]


@app.post("/solve")
async def solve(asked: Asked, request: Request) -> Answered:
    """The answer, once there is one."""
    call = chain.ainvoke(asked.question, seed=asked.seed, max_seconds=asked.seconds)
    try:
        solution: Solution = await while_connected(request, call)
    except QStarError as error:
        raise HTTPException(422, str(error)) from error
    return Answered(
        answer=solution.answer,
        stopped=solution.stopped,
        tokens=solution.usage.completion_tokens,
        shortfalls=solution.usage.shortfalls,
    )


@app.post("/stream")
async def stream(asked: Asked) -> StreamingResponse:
    """Every event of the search as a line of JSON, the solution last."""

    async def lines() -> AsyncIterator[str]:
        # A response that nobody reads is cancelled, and the search with it.
        events = chain.astream(asked.question, seed=asked.seed, max_seconds=asked.seconds)
        async for item in events:
            last = isinstance(item, Solution)
            yield f"{item.model_dump_json() if last else json.dumps(item)}\n"

    return StreamingResponse(lines(), media_type="application/x-ndjson")


@app.get("/counts")
async def counted() -> dict[str, int]:
    """Of this process: searches that run, and those whose client left."""
    return {"process": os.getpid(), **counts}


async def while_connected(request: Request, call: Coroutine[Any, Any, Any]) -> Any:
    """What `call` returns; cancelled as soon as the client is gone."""
    task, gone = asyncio.create_task(call), asyncio.create_task(left(request))
    counts["running"] += 1
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            counts["left"] += 1
            raise HTTPException(499, "the client left")
        return task.result()
    finally:
        gone.cancel()
        task.cancel()
        await asyncio.wait({task, gone})
        counts["running"] -= 1


async def left(request: Request) -> None:
    """Wait until the client leaves.

    Not by asking `request.is_disconnected` again and again: to servers that is a listener that
    is cancelled, and some (gunicorn 27) take the client for gone after it.
    """
    while (await request.receive())["type"] != "http.disconnect":
        pass


@contextmanager
def served() -> Iterator[str]:
    """This service on a free port of this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    folder = str(Path(__file__).parent)
    options = ["--app-dir", folder, "--port", port, "--log-level", "warning"]
    command = [sys.executable, "-m", "uvicorn", *options, "web_app:app"]
    with subprocess.Popen(command) as server:  # noqa: S603  # our own words
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


def main() -> None:
    """Start the service, ask it, follow a search, and leave one."""
    with served() as url, httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                client.get("/counts")
                break
            except httpx.TransportError:
                time.sleep(0.2)
        asked = {"question": QUESTION, "seconds": 1}
        print("answer:", client.post("/solve", json=asked).json())
        with client.stream("POST", "/stream", json=asked) as events:
            print("first event:", json.loads(next(events.iter_lines()))["type"])
        print("refused:", client.post("/solve", json={"question": " "}).json()["detail"])
        try:
            client.post("/solve", json={"question": QUESTION}, timeout=0.3)
        except httpx.ReadTimeout:
            time.sleep(1)
        left = client.get("/counts").json()
        print(f"running: {left['running']}, left: {left['left']}")


if __name__ == "__main__":
    main()
