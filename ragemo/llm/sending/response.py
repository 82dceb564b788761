"""What the official client makes of a response, of one that it did not receive itself."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import httpx2
    import openai


class Response(NamedTuple):
    """What an endpoint has answered.

    Attributes:
        content: all bytes, decompressed.
        headers: by their names, in whatever letters.
    """

    content: bytes
    headers: Mapping[str, str]


def read_response(
    status: int,
    headers: Sequence[tuple[bytes, bytes]],
    content: bytes,
    request: httpx2.Request,
    cookies: httpx2.Cookies,
) -> Response:
    """A response, decompressed; its cookies are kept.

    Args:
        status: of HTTP.
        headers: as they came.
        content: all bytes, likewise.
        request: that it answers.
        cookies: those of earlier responses, to which its own are added.

    Raises:
        openai.APIStatusError: if it says that the request failed.
        openai.APIConnectionError: if it cannot be decompressed.
        ValueError: if it cannot be read.
    """
    import httpx2
    import openai

    try:
        response = httpx2.Response(status, headers=list(headers), content=content, request=request)
    except httpx2.DecodingError as error:
        raise openai.APIConnectionError(request=request) from error
    cookies.extract_cookies(response)
    if not response.is_success:
        raise _status_error(response)
    return Response(response.content, response.headers)


@contextmanager
def text_read() -> Iterator[None]:
    """Around where a response's text is read.

    Raises:
        ValueError: if its charset is a codec of something else than text, for which httpx2 and
            Python raise errors of other kinds.
    """
    try:
        yield
    except (AssertionError, TypeError) as error:
        raise ValueError(f"its text cannot be read: {error}") from error


def _status_error(response: httpx2.Response) -> openai.APIStatusError:
    """As the client raises it: with the error itself, if the response is JSON."""
    import openai

    with text_read():
        text = response.text
    body: object = text.strip()
    with suppress(ValueError, RecursionError):
        body = json.loads(text)
    if isinstance(body, dict):
        body = body.get("error", body)
    return openai.APIStatusError(
        f"Error code: {response.status_code}", response=response, body=body
    )
