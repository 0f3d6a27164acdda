"""The front door: who may reach the pages and the control API at all.

On loopback everybody on this machine may, but only under a local host name (a page elsewhere whose name is re-bound to
127.0.0.1 sends its own name) and only from our own pages when something is to change (a form elsewhere sends its own
origin). On any other address the pages and the control API need a key that may do what is asked (``roles.py``): as a
bearer token, or typed once into the login form, which sets a signed session cookie. A member's key opens a session only
where it has an owner: then it is a person's, who may review; else it is a program's. The key itself is kept nowhere.

The door also says who acts, once for everything behind it (``core/actor.py``): the owner of the key, else "admin" for
an admin key that belongs to nobody.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from trimtab.core import Forbidden, LimitReached, TrimtabError, Unauthorized

from .frame import template_environment
from .problems import problem, wait_header, wants_json
from .roles import may
from .security import SecureHeaders, local_hosts

COOKIE = "trimtab_session"
SESSION_S = 12 * 3600
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
#: Reached without an admin key: what the login page needs, and what tells nothing.
OPEN_PATHS = ("/static/",)
OPEN_EXACT = frozenset({"/healthz", "/readyz", "/favicon.ico"})
#: Wrong keys typed into the form within a minute, over all visitors, before the form rests.
LOGIN_FAILURES = 10
LOGIN_BODY = 4096


class Caller(NamedTuple):
    """The role of a key and the person whose it is; both empty for a text that is the secret of none."""

    role: str = ""
    owner: str = ""

    @property
    def name(self) -> str:
        """Who acts, for the ledger."""
        return self.owner or self.role


NOBODY = Caller()


class Sessions:
    """Signed session cookies. The secret is made at start, so a restart ends every session. ``clock`` in seconds."""

    def __init__(self, secret: bytes, clock: Callable[[], float] = time.time) -> None:
        self._secret = secret
        self._clock = clock

    def issue(self, caller: Caller) -> str:
        """A cookie value that is good for SESSION_S seconds."""
        nonce = f"{caller.role}-{caller.owner.encode().hex()}-{secrets.token_hex(8)}"
        return self._signed(int(self._clock()) + SESSION_S, nonce)

    def caller(self, cookie: str) -> Caller:
        """Whose the cookie is, if it is ours and not over; else nobody."""
        ends, _, rest = cookie.partition(".")
        nonce, _, _ = rest.partition(".")
        if not (ends.isascii() and ends.isdigit() and len(ends) < 16):
            return NOBODY
        signed = self._signed(int(ends), nonce)
        if not hmac.compare_digest(signed.encode(), cookie.encode()) or int(ends) <= self._clock():
            return NOBODY
        role, owner, _ = nonce.split("-")
        return Caller(role=role, owner=bytes.fromhex(owner).decode())

    def _signed(self, ends: int, nonce: str) -> str:
        mac = hmac.new(self._secret, f"{ends}.{nonce}".encode(), hashlib.sha256).hexdigest()
        return f"{ends}.{nonce}.{mac}"


class Door:
    """ASGI wrapper around the whole server.

    ``loopback`` says that only this machine can reach it, ``port`` is the port it listens on, and ``admin`` tells
    whether a text is the secret of a live admin key; without it no key is asked for here, because what is behind the
    door asks for its own. ``role`` and ``owner`` tell the role and the owner of any live key, and are empty for a text
    that is the secret of none.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        loopback: bool,
        port: int,
        admin: Callable[[str], bool] | None,
        role: Callable[[str], str] | None = None,
        owner: Callable[[str], str] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._app = app
        self._loopback = loopback
        self._hosts = local_hosts(port)
        self._port = port
        self._admin = admin
        self._role = role
        self._owner = owner
        self._clock = clock
        self._sessions = Sessions(secrets.token_bytes(32), clock)
        self._failures: deque[float] = deque(maxlen=LOGIN_FAILURES)
        self._login_page = template_environment().get_template("login.html")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        response: Response | None = None
        try:
            self._check_origin(scope)
            if self._loopback:
                _says(scope, Caller(role="admin"), "local operator")
            elif self._admin is None:
                scope["trimtab.actor"] = "client"
            elif (response := await self._own_page(Request(scope, receive))) is None:
                _says(scope, self._admitted(Request(scope, receive)))
        except TrimtabError as error:
            response = self._refusal(Request(scope, receive), error)
        if response is None:
            await self._app(scope, receive, send)
        else:
            await SecureHeaders(response)(scope, receive, send)

    def _check_origin(self, scope: Scope) -> None:
        """Read straight from the scope: the gateway's hot path comes through here as well."""
        host = origin = site = ""
        hosts = 0
        for name, value in scope["headers"]:
            if name == b"host":
                host, hosts = value.decode("latin-1").lower(), hosts + 1
            elif name == b"origin":
                origin = value.decode("latin-1")
            elif name == b"sec-fetch-site":
                site = value.decode("latin-1")
        if self._loopback and (host not in self._hosts or hosts != 1):
            raise Forbidden(
                f"This server answers only under a local name, not as {host[:100]!r}.",
                field="host",
                mend=f"Open http://127.0.0.1:{self._port}/ instead.",
            )
        if scope["method"] in SAFE_METHODS:
            return
        if site:  # set by the browser itself; says more than Origin, which a proxy may have made look foreign
            foreign = site not in ("same-origin", "none")
        else:
            foreign = origin != "" and urlsplit(origin).netloc.lower() != host
        if foreign:
            raise Forbidden(
                "A page of another site may not change anything here.",
                field="origin",
                mend="Do it on Trimtab's own page, or call the API without a browser.",
            )

    def _admitted(self, request: Request) -> Caller:
        """Who acts. Raises Unauthorized where a key is needed and none was shown, Forbidden where its role is not
        enough."""
        path = request.url.path
        if path in OPEN_EXACT or path.startswith(OPEN_PATHS):
            return Caller(role="client")
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        caller = self._caller(token.strip()) if scheme.lower() == "bearer" else NOBODY
        if not caller.role:
            caller = self._sessions.caller(request.cookies.get(COOKIE, ""))
        if not caller.role:
            raise Unauthorized(
                "This address asks for an admin key.",
                field="authorization",
                mend="Send 'Authorization: Bearer tt-...', or sign in at /login.",
            )
        if not may(caller.role, request.method, path, person=bool(caller.owner)):
            what = f"A key of the role {caller.role} may not do this."
            raise Forbidden(what, field="authorization", mend="Use an admin key.")
        return caller

    def _caller(self, secret: str) -> Caller:
        if not secret or self._admin is None:
            return NOBODY
        role = "admin" if self._admin(secret) else self._role(secret) if self._role else ""
        return Caller(role=role, owner=self._owner(secret) if role and self._owner else "")

    def _refusal(self, request: Request, error: TrimtabError) -> Response:
        headers = wait_header(error)
        if isinstance(error, Unauthorized):
            headers["www-authenticate"] = 'Bearer realm="trimtab"'
        if wants_json(request) or request.url.path == "/metrics":
            return JSONResponse(
                problem(error), status_code=error.status, headers=headers, media_type="application/problem+json"
            )
        if isinstance(error, Unauthorized) and request.method in SAFE_METHODS:
            where = request.url.path + (f"?{request.url.query}" if request.url.query else "")
            return RedirectResponse(f"/login?next={quote(where, safe='')}", status_code=303)
        return self._form(request, error, headers=headers)

    def _form(self, request: Request, error: TrimtabError | None, headers: dict[str, str] | None = None) -> Response:
        ask = not self._loopback and not isinstance(error, Forbidden)
        html = self._login_page.render(
            error=problem(error) if error else None, ask=ask, next=local_path(request.query_params.get("next", "/"))
        )
        return HTMLResponse(html, status_code=error.status if error else 200, headers=headers)

    async def _own_page(self, request: Request) -> Response | None:
        """/login and /logout."""
        if request.url.path not in ("/login", "/logout"):
            return None
        if request.url.path == "/logout" and request.method == "POST":
            gone = RedirectResponse("/login", status_code=303)
            gone.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
            return gone
        if request.url.path == "/login" and request.method == "POST":
            return await self._sign_in(request)
        return self._form(request, None)

    async def _sign_in(self, request: Request) -> Response:
        now = self._clock()
        if len(self._failures) == LOGIN_FAILURES and now - self._failures[0] < 60:
            raise LimitReached(
                "Too many wrong keys were tried in the last minute.", mend="Wait a minute.", retry_after=60
            )
        length = request.headers.get("content-length", "")
        if not (length.isascii() and length.isdigit() and int(length) <= LOGIN_BODY):
            raise Forbidden("The form is larger than a key.", field="key", mend="Paste only the key.")
        async with request.form(max_files=0, max_fields=4, max_part_size=LOGIN_BODY) as form:
            secret, target = str(form.get("key", "")), local_path(str(form.get("next", "/")))
        caller = self._caller(secret.strip())
        if caller.role not in ("admin", "viewer") and not (caller.role == "member" and caller.owner):
            self._failures.append(now)
            said = "This is not a live key of a person."
            return self._form(request, Unauthorized(said, mend="Check it; a member's key needs an owner to sign in."))
        if target == "/" and caller.role == "member":
            target = "/review"
        response = RedirectResponse(target, status_code=303)
        response.set_cookie(
            COOKIE,
            self._sessions.issue(caller),
            max_age=SESSION_S,
            path="/",
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
        return response


def _says(scope: Scope, caller: Caller, name: str = "") -> None:
    """Write into the scope who calls: the one place where that is said."""
    scope["trimtab.actor"] = name or caller.name
    scope["trimtab.role"] = caller.role
    scope["trimtab.person"] = caller.owner
    scope["trimtab.claims"] = caller.role == "admin" and not caller.owner


def local_path(target: str) -> str:
    """The target if it is a path on this server, else the Stack: a login never leads to another site."""
    plain = target.startswith("/") and not target.startswith(("//", "/\\")) and "\\" not in target
    return target if plain and target.isprintable() else "/"
