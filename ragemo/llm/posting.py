"""JSON posted to an endpoint as the official client posts it, many times over."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple
from urllib.request import getproxies, proxy_bypass

if TYPE_CHECKING:
    import aiohttp
    import httpx2
    import openai
    import yarl

SUCCESS = range(200, 300)

KEEP_ALIVE = 5.0
"""Seconds that a connection is kept without a request: fewer than most servers wait before they
close one, which would lose the next request."""


class Response(NamedTuple):
    """What an endpoint has answered.

    Attributes:
        content: all bytes, decompressed.
        headers: by their names, in whatever letters.
    """

    content: bytes
    headers: Mapping[str, str]


class Posting:
    """Posts to one path of an endpoint, in one event loop.

    For each request the client reads the address, merges headers, copies its options and types
    the response, which takes several times as long as sending and receiving. So it makes the first
    one, and those that follow are like that but for what they say and for cookies, and are sent by
    aiohttp alone. Behind a proxy, and where the endpoint sends us on to another place, the client
    makes all of them.

    Args:
        client: the official client.
        path: below the endpoint's address.
        connect: seconds that making a connection may take.
    """

    def __init__(self, client: openai.AsyncOpenAI, path: str, *, connect: float) -> None:
        self._client = client
        self._path = path
        self._connect = connect
        self._proxied: bool | None = None  # not known yet
        self._session: aiohttp.ClientSession | None = None
        self._url: yarl.URL | None = None

    async def post(self, body: bytes) -> Response:
        """The response, read whole.

        Raises:
            openai.APIStatusError: if it says that the request failed.
            openai.APIConnectionError, aiohttp.ClientError: if none came.
        """
        if self._session is None or self._url is None:
            return await self._post_by_client(body)
        async with self._session.post(self._url, data=body) as response:
            content = await response.read()
        if response.status not in SUCCESS:
            raise _status_error(response, content)
        return Response(content, response.headers)

    async def close(self) -> None:
        """Close the connections; the client keeps its own."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _post_by_client(self, body: bytes) -> Response:
        import httpx2

        response = await self._client.post(self._path, cast_to=httpx2.Response, content=body)
        if self._proxied is None:
            self._proxied = _is_proxied(response.url.host)
        if not (self._proxied or response.history or self._session):
            self._open_like(response)
        return Response(response.content, response.headers)

    def _open_like(self, response: httpx2.Response) -> None:
        """Send all that follows as the request was sent that this one answers."""
        import aiohttp
        import httpx2
        import yarl

        # The host is told by the address; how answers may be compressed, by who decompresses them.
        own = {"content-length", "cookie", "host", "accept-encoding"}
        headers = {
            name: value for name, value in response.request.headers.items() if name not in own
        }
        self._url = yarl.URL(str(response.request.url))
        cookies = aiohttp.CookieJar(unsafe=True, quote_cookie=False)  # as the client's own
        cookies.update_cookies_from_headers(response.headers.get_list("set-cookie"), self._url)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0,
                keepalive_timeout=KEEP_ALIVE,
                # The certificates that the client trusts; reading them takes a while.
                ssl=httpx2.create_ssl_context() if self._url.scheme == "https" else True,
            ),
            headers=headers,
            cookie_jar=cookies,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._connect),
        )


def _is_proxied(host: str) -> bool:
    """Whether requests to a host go by a proxy, by the environment or the system's settings."""
    return bool(getproxies().keys() - {"no"}) and not proxy_bypass(host)


def _status_error(failed: aiohttp.ClientResponse, content: bytes) -> openai.APIStatusError:
    """As the client raises it: with the error itself, if the response is JSON."""
    import httpx2
    import openai

    headers = [pair for pair in failed.headers.items() if pair[0].lower() != "content-encoding"]
    response = httpx2.Response(
        failed.status,
        headers=headers,
        content=content,
        request=httpx2.Request(failed.method, str(failed.url)),
    )
    body: object = response.text.strip()
    with suppress(ValueError, RecursionError):
        body = json.loads(response.text)
    if isinstance(body, dict):
        body = body.get("error", body)
    return openai.APIStatusError(f"Error code: {failed.status}", response=response, body=body)
