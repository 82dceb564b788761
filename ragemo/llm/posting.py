"""JSON posted to an endpoint as the official client posts it, many times over."""

from __future__ import annotations

import json
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx2
    import openai


class Posting:
    """Posts to one path of an endpoint.

    The client puts each request together anew: it reads the address, merges headers and copies its
    options, which takes as much time of the processor as all else that is done for a call. So it
    makes the first one, and those that follow are like that but for what they say and for cookies.

    Args:
        client: the official client.
        http: what it sends with, and keeps its connections.
        path: below the endpoint's address.
    """

    def __init__(self, client: openai.AsyncOpenAI, http: httpx2.AsyncClient, path: str) -> None:
        self._client = client
        self._http = http
        self._path = path
        self._like: httpx2.Request | None = None
        self._headers: httpx2.Headers | None = None

    async def post(self, body: bytes) -> httpx2.Response:
        """The response, read whole.

        Raises:
            openai.APIStatusError: if it says that the request failed.
            openai.APIConnectionError: if none came.
            aiohttp.ClientError: likewise.
        """
        import anyio
        import httpx2
        import openai

        like = self._like
        if like is None:
            response = await self._client.post(self._path, cast_to=httpx2.Response, content=body)
            if not response.history:  # else the request was another one in the end
                self._like = response.request
                self._headers = response.request.headers.copy()
                for own in ("content-length", "cookie"):
                    self._headers.pop(own, None)
            return response
        request = httpx2.Request(
            like.method,
            like.url,
            headers=self._headers,
            cookies=self._http.cookies if self._http.cookies.jar else None,
            content=body,
            extensions=like.extensions,
        )
        try:
            response = await self._http.send(request)
        except httpx2.TimeoutException as error:
            raise openai.APITimeoutError(request=request) from error
        except (httpx2.RequestError, ssl.SSLError, anyio.EndOfStream) as error:
            raise openai.APIConnectionError(request=request) from error
        if not response.is_success:
            raise _status_error(response)
        return response


def _status_error(response: httpx2.Response) -> openai.APIStatusError:
    """As the client raises it: with the error itself, if the response is JSON."""
    import openai

    body: object = response.text.strip()
    with suppress(ValueError, RecursionError):
        body = json.loads(response.text)
    if isinstance(body, dict):
        body = body.get("error", body)
    return openai.APIStatusError(
        f"Error code: {response.status_code}", response=response, body=body
    )
