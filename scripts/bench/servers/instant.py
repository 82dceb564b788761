"""The fastest chat completion server that we can write, to measure those who ask it.

    python scripts/bench/servers/instant.py [--latency 0.05] [--answer joy] [--slots N]

It prints its port, then answers every POST after the latency, each connection apart from the
others, until it is killed. The answer is always the same, and a request is read and not looked
into, so that next to nothing of a measurement is the server's. With --slots, only so many
requests are worked on at once and the others wait for them, as with a model on one machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from contextlib import AsyncExitStack


def response(answer: str) -> bytes:
    """A whole HTTP response with one choice."""
    body = json.dumps(
        {
            "id": "chatcmpl-0",
            "object": "chat.completion",
            "created": 0,
            "model": "instant",
            "choices": [
                {
                    "index": 0,
                    "finish_reason": "stop",
                    "logprobs": None,
                    "message": {"role": "assistant", "content": answer},
                }
            ],
            "usage": {"prompt_tokens": 100, "completion_tokens": 1, "total_tokens": 101},
        }
    ).encode()
    head = (
        f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def serve(latency: float, answer: str, slots: int | None) -> None:
    """Answer until cancelled.

    Args:
        latency: seconds from a request's last byte to the answer.
        answer: what is said.
        slots: requests worked on at once; None: all of them.
    """
    answered = response(answer)
    places = None if slots is None else asyncio.Semaphore(slots)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
                await reader.readexactly(int(length or 0))
                async with AsyncExitStack() as stack:
                    if places is not None:
                        await stack.enter_async_context(places)
                    await asyncio.sleep(latency)
                writer.write(answered)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--latency", type=float, default=0.05, help="seconds")
    parser.add_argument("--answer", default="joy")
    parser.add_argument("--slots", type=int, help="requests worked on at once")
    options = parser.parse_args()
    asyncio.run(serve(options.latency, options.answer, options.slots))


if __name__ == "__main__":
    main()
