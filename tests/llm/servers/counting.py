"""An OpenAI-compatible server that answers by the question alone and remembers what it was asked.

    python counting.py WORD...      prints its port, then serves until it is killed

POST .../chat/completions gives one of the words, chosen by the messages. GET gives the hashes of
the messages of all questions so far, oldest first; see `question_hash`.
"""

import asyncio
import hashlib
import json
import sys

WORDS = sys.argv[1:]
SEEN: list[str] = []


def question_hash(messages):
    """The same for the same messages."""
    said = [[message["role"], message["content"]] for message in messages]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]


def complete(messages):
    asked = question_hash(messages)
    SEEN.append(asked)
    word = WORDS[int(asked, 16) % len(WORDS)]
    return {
        "id": "x",
        "object": "chat.completion",
        "created": 0,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": word},
            }
        ],
        "usage": {"prompt_tokens": 100, "completion_tokens": 2, "total_tokens": 102},
    }


async def serve(reader, writer):
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            lines = head.decode().lower().split("\r\n")
            length = next(
                (int(x.split(":")[1]) for x in lines if x.startswith("content-length")), 0
            )
            body = await reader.readexactly(length)
            answer = SEEN if head.startswith(b"GET") else complete(json.loads(body)["messages"])
            data = json.dumps(answer).encode()
            writer.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
                + f"content-length: {len(data)}\r\n\r\n".encode()
                + data
            )
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()  # whoever asked is gone


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
