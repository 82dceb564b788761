"""JSON posted to an endpoint as the official client posts it, many times over."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.request import getproxies

from ragemo.llm.sending.response import Response, read_response, text_read

if TYPE_CHECKING:
    import ssl

    import aiohttp
    import httpx2
    import openai

SUCCESS = range(200, 300)

SENT_ON = frozenset({301, 302, 303, 307, 308})
"""Statuses that, with a place, send who asks there."""

KEEP_ALIVE = 4.0
"""Seconds that a connection is kept without a request: fewer than the five after which many servers
close one, which would lose the next request."""


class Posting:
    """Posts to one path of an endpoint, in one event loop.

    For each request the client reads the address, merges headers, copies its options and types
    the response, which takes several times as long as sending and receiving. So it makes the first
    one, and those that follow are like that but for what they say and for cookies, and are sent by
    aiohttp alone. What is not plain is the client's: every request by way of a proxy, every one
    once an endpoint has sent us on, errors and compressed answers as it reads them, and cookies.

    Args:
        client: the official client.
        http: what it sends with, and keeps its cookies.
        path: below the endpoint's address.
        tls: whom to trust.
        connect: seconds that making a connection may take.
    """

    def __init__(
        self,
        client: openai.AsyncOpenAI,
        http: httpx2.AsyncClient,
        path: str,
        *,
        tls: ssl.SSLContext,
        connect: float,
    ) -> None:
        self._client = client
        self._http = http
        self._path = path
        self._tls = tls
        self._connect = connect
        self._by_client = _may_go_by_proxy(client.base_url)  # for good
        self._own_cookie = any(name.lower() == "cookie" for name in client.default_headers)
        self._like: httpx2.Request | None = None
        self._session: aiohttp.ClientSession | None = None

    async def post(self, body: bytes) -> Response:
        """The response, read whole.

        Where an endpoint sends us on for the first time, the request is made once more.

        Raises:
            openai.APIStatusError: if it says that the request failed.
            openai.APIConnectionError, aiohttp.ClientError: if none came.
            ValueError: if it cannot be read.
        """
        like, session = self._like, self._session
        if like is None or session is None or self._by_client:
            return await self._post_by_client(body)
        async with session.post(
            str(like.url), data=body, headers=self._cookies(like), allow_redirects=False
        ) as response:
            content = await response.read()
        headers = response.headers
        if response.status in SUCCESS and not (
            "Content-Encoding" in headers or "Set-Cookie" in headers
        ):
            return Response(content, headers)
        if response.status in SENT_ON and "Location" in headers:
            return await self._post_by_client(body)
        return read_response(
            response.status, response.raw_headers, content, like, self._http.cookies
        )

    async def close(self) -> None:
        """Close the connections; the client keeps its own."""
        self._by_client = True
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _post_by_client(self, body: bytes) -> Response:
        import httpx2

        with text_read():  # by the client, of an error
            response = await self._client.post(self._path, cast_to=httpx2.Response, content=body)
        if response.history:
            self._by_client = True
        if not self._by_client and self._session is None:
            self._open_like(response.request)
        return Response(response.content, response.headers)

    def _open_like(self, request: httpx2.Request) -> None:
        """Send all that follows like this request, which was answered."""
        import aiohttp

        differ = {"content-length"} if self._own_cookie else {"content-length", "cookie"}
        self._like = request
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE, ssl=self._tls),
            headers=[
                (name, value) for name, value in request.headers.items() if name not in differ
            ],
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._connect),
            auto_decompress=False,
        )

    def _cookies(self, like: httpx2.Request) -> dict[str, str] | None:
        """The header of cookies, as the client sets it: the user's, or those of all answers."""
        import httpx2

        if self._own_cookie or not self._http.cookies:
            return None
        request = httpx2.Request(like.method, like.url, cookies=self._http.cookies)
        return {"Cookie": request.headers["cookie"]} if "cookie" in request.headers else None


def _may_go_by_proxy(url: httpx2.URL) -> bool:
    """Whether the client may send by way of a proxy, by the environment or the system's settings.

    Not where a proxy is for no host at all, or not for this one. Patterns of hosts are read in
    many ways, so that only a host that is named letter by letter counts.
    """
    proxies = getproxies()
    spared = {entry.strip() for entry in proxies.get("no", "").split(",")}
    direct = "*" in spared or (url.host in spared and url.host.isascii())
    return bool(proxies.keys() & {url.scheme, "all"}) and not direct
