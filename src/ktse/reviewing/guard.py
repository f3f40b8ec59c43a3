"""Who may speak to the page's server: nobody but the page itself, from this machine.

A page of another host that is open in the same browser could otherwise read photos or change masks: by requests of its
own (its Origin is another one), or by a name of its own that leads to this machine (its Host is another one).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

HOSTS = ("127.0.0.1", "localhost")
"""Names under which the page may be opened; the port may be another one, as of a tunnel to a machine elsewhere."""

POLICY = b"default-src 'self'; img-src 'self' blob: data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

HEADERS = (
    (b"content-security-policy", POLICY),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)
"""What every answer says to the browser: nothing comes from elsewhere, and nobody else embeds this."""


class Guard:
    """Refuses what does not come from the page itself.

    Args:
        app: what answers the rest.
    """

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http" or not is_own(dict(scope["headers"]), scope["path"]):
            body = b'{"message": "This page answers only requests of its own, from this machine."}'
            head = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
            await send({"type": "http.response.start", "status": 403, "headers": head})
            await send({"type": "http.response.body", "body": body})
            return

        async def with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *HEADERS]
            await send(message)

        await self.app(scope, receive, with_headers)


def is_own(headers: dict[bytes, bytes], path: str) -> bool:
    """Whether a request comes from the page itself, or from a program on this machine.

    Args:
        headers: names in lower case, and values.
        path: of the request; the page may be opened by a link from anywhere.
    """
    host = headers.get(b"host", b"").decode("latin-1").lower()
    if host.partition(":")[0] not in HOSTS:
        return False
    origin = headers.get(b"origin")
    if origin is not None and origin.decode("latin-1").lower() != f"http://{host}":
        return False
    return path == "/" or headers.get(b"sec-fetch-site", b"none") in (b"same-origin", b"none")
