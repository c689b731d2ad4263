"""Who may ask what: the door before API and studio. Every request passes it, and every answer leaves by it.

In this order: the Host header (DNS rebinding), where a browser says the request comes from (cross-site requests), the
token, the rate, and then the body while it streams (its size, and how long it takes).
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import logging
import secrets
import socket
from collections.abc import Iterable
from html import escape
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, cookie_parser
from starlette.types import ASGIApp, Receive, Scope, Send

from facesnap.core.errors import one_line
from facesnap.serving import problems
from facesnap.serving.config import ServeConfig, is_loopback
from facesnap.serving.exchange import Exchange, body_limit
from facesnap.serving.rates import Rates, address_of

log = logging.getLogger(__name__)

#: What may be asked without a token.
OPEN_PATHS: Final = ("/v1/health",)
#: The studio talks a lot (sliders, progress): it gets this many times the requests of an API client.
STUDIO_RATE: Final = 10
#: Wrong tokens that one address may show in a minute before it is told to wait.
WRONG_TOKENS_PER_MINUTE: Final = 20

_SAFE: Final = ("GET", "HEAD", "OPTIONS")


class Refused(Exception):
    """A request that isn't let in; ``response`` says why."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.response = response


class Access:
    """ASGI middleware; ``scope["state"]["client"]`` is then an id of who asks.

    Args:
        app: what is behind the door.
        config: token, host and limits.
        names: further host names under which the service is reached, such as a proxy's.
    """

    def __init__(self, app: ASGIApp, config: ServeConfig, names: Iterable[str] = ()) -> None:
        self.app = app
        self.config = config
        self._names = {"localhost", _plain(config.host), *map(_plain, names)}
        if config.token is not None:
            self._names |= {_plain(socket.gethostname()), _plain(socket.getfqdn())}
        self._key = (config.token or secrets.token_hex(16)).encode()
        self._cookie = None if config.token is None else _cookie_value(config.token)
        limits = config.limits
        self._requests = Rates(limits.requests_per_minute)
        self._generations = Rates(limits.generations_per_minute)
        self._studio = Rates(STUDIO_RATE * limits.requests_per_minute)
        self._wrong = Rates(WRONG_TOKENS_PER_MINUTE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request in, or say why not."""
        if scope["type"] == "websocket":  # neither API nor studio has any
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limits = self.config.limits
        exchange = Exchange(scope, receive, send, body_limit(scope["path"], limits), limits.request_seconds)
        try:
            self._admit(scope, exchange)
        except Refused as refused:
            exchange.cut = True
            await refused.response(scope, exchange.receive, exchange.send)
            return
        try:
            await self.app(scope, exchange.receive, exchange.send)
        except ClientDisconnect:
            return
        except Exception as error:
            if exchange.status is not None:  # too late to say anything; the server closes the connection
                log.warning("an answer broke off: %s", one_line(error))
                return
            await problems.of_error(error)(scope, exchange.receive, exchange.send)

    def _admit(self, scope: Scope, exchange: Exchange) -> None:
        """Everything that can be told before the body. Refused says what is wrong."""
        headers = Headers(scope=scope)
        self._check_host(headers)
        _check_site(scope, headers)
        address = address_of(scope["client"][0] if scope.get("client") else None)
        if scope["path"] not in OPEN_PATHS:
            self._check_token(scope, headers, address)
        client = self._client_id(address)
        self._check_rates(scope, client)
        if exchange.declared_too_large():
            raise _refusal(413, exchange.too_large)
        if scope["method"] == "POST" and scope["path"].startswith("/gradio_api/upload"):
            self._check_room()
        scope.setdefault("state", {})["client"] = client

    def _check_room(self) -> None:
        """Refuse uploads to the studio where its files take all the room they may; they go when visits end."""
        held = sum(file.stat().st_size for file in (self.config.data / "studio").glob("*/*") if file.is_file())
        if held > self.config.limits.studio_bytes:
            raise _refusal(507, "the studio holds as many files as it may: try again later")

    def _client_id(self, address: str) -> str:
        """Equal for requests of one address that show one token; it doesn't tell the address."""
        return hmac.new(self._key, address.encode(), hashlib.sha256).hexdigest()[:16]

    def _check_host(self, headers: Headers) -> None:
        """Refuse names that an attacker's DNS may have pointed at this machine."""
        hosts = headers.getlist("host")
        name = _plain(_without_port(hosts[0])) if len(hosts) == 1 else ""
        known = name in self._names or is_loopback(name)
        # An address can't be rebound; from other machines it needs the token, too.
        if not known and not (self._cookie is not None and _is_address(name)):
            raise _refusal(421, "this service isn't known under that host name: `facesnap serve --name` adds one")

    def _check_token(self, scope: Scope, headers: Headers, address: str) -> None:
        if self._cookie is None or self.config.token is None:
            return
        entering = scope["path"] == "/" and scope["method"] == "GET"
        offered = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0] if entering else ""
        if offered and _same(offered, self.config.token):
            raise Refused(self._let_in(scope))
        scheme, _, shown = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and _same(shown.strip(), self.config.token):
            return
        cookie = cookie_parser(headers.get("cookie", "")).get(self._cookie_name, "")
        if _same(cookie, self._cookie):
            return
        if (offered or shown or cookie) and (seconds := self._wrong.take(address)):
            raise _refusal(429, "too many wrong tokens: wait a little", problems.retry_after(seconds))
        if scope["path"].startswith("/v1/") or "text/html" not in headers.get("accept", ""):
            why = "show the token: Authorization: Bearer TOKEN"
            raise _refusal(401, why, {"WWW-Authenticate": 'Bearer realm="facesnap"'})
        raise Refused(HTMLResponse(_SIGN_IN.format(said=escape("That token is wrong." if offered else "")), 401))

    @property
    def _cookie_name(self) -> str:
        return f"facesnap-{self.config.port}"  # cookies don't know ports: two servers on a machine would share one

    def _let_in(self, scope: Scope) -> Response:
        """Answer /?token=... by a cookie, and go on without the token in the address."""
        response = RedirectResponse("/", HTTPStatus.SEE_OTHER)
        secure = scope.get("scheme") == "https"
        value = self._cookie or ""
        response.set_cookie(self._cookie_name, value, path="/", secure=secure, httponly=True, samesite="strict")
        return response

    def _check_rates(self, scope: Scope, client: str) -> None:
        path, method = scope["path"], scope["method"]
        rates = []
        if path.startswith("/v1/"):
            rates += [self._requests] if path not in OPEN_PATHS else []
            rates += [self._generations] if (method, path) == ("POST", "/v1/generations") else []
        elif method not in _SAFE:
            rates.append(self._studio)
        for rate in rates:
            if seconds := rate.take(client):
                why = f"more than {rate.per_minute:g} such requests in a minute: wait a little"
                raise _refusal(429, why, problems.retry_after(seconds))


def _check_site(scope: Scope, headers: Headers) -> None:
    """Refuse what another site's page makes a browser ask. Programs send none of these headers."""
    site = headers.get("sec-fetch-site", "none")
    clicked = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
    followed = scope["method"] == "GET" and clicked  # a link to the studio is all right
    foreign = site not in ("none", "same-origin") and not followed
    origin = headers.get("origin")
    if origin is not None and urlsplit(origin).netloc.lower() != headers.get("host", "").lower():
        foreign = True
    if foreign:
        raise _refusal(403, "requests from other sites' pages aren't answered")


def _refusal(status: int, why: str, headers: dict[str, str] | None = None) -> Refused:
    return Refused(problems.answer(status, why, headers=headers))


def _same(shown: str, wanted: str) -> bool:
    """Whether two secrets are equal, in a time that doesn't depend on where they differ, or on their length."""
    return hmac.compare_digest(_digest(shown), _digest(wanted))


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


def _cookie_value(token: str) -> str:
    """What the browser keeps instead of the token: of no use anywhere else, or once the token is another."""
    return hmac.new(token.encode(), b"facesnap studio cookie", hashlib.sha256).hexdigest()


def _plain(host: str) -> str:
    return host.strip("[]").rstrip(".").lower()


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host.partition("]")[0]
    return host.partition(":")[0]


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


_SIGN_IN: Final[Any] = """<!doctype html><html lang="en"><meta charset="utf-8"><title>FaceSnap</title>
<meta name="viewport" content="width=device-width"><style>body{{font:16px/1.5 system-ui;margin:15vh auto;max-width:22em;
padding:0 1em;color-scheme:light dark}}input,button{{font:inherit;padding:.4em}}</style>
<h1>FaceSnap</h1><p role="alert">{said}</p><form action="/"><label>Token of this service<br>
<input name="token" type="password" autocomplete="current-password" required autofocus></label> <button>Enter</button>
</form><p>If you followed a link that has the token in it from another site, reload this page.</p></html>"""
