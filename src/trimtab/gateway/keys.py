"""Virtual keys: who may ask. The table lives in memory; only the SHA-256 of a secret is ever kept."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from trimtab.core import BadInput, Forbidden, NotFound, Unauthorized, new_id, now_ns
from trimtab.store import Metadata

from . import records

ROLES = ("admin", "member", "viewer")
LIMITS = ("rpm", "max_parallel", "routes")

_PREFIX = 7  # of the secret: "tt-" and four characters, enough to tell keys apart and too little to guess from


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A virtual key. ``prefix`` is how its secret starts. Times are nanoseconds UTC, 0 = never.

    ``limits``: ``rpm`` requests a minute, ``max_parallel`` requests at once, ``routes`` the routes and
    ``provider/model`` names it may use; what is absent is not limited.
    """

    id: str
    name: str
    prefix: str
    owner: str = ""
    role: str = "member"
    created_ns: int = 0
    expires_ns: int = 0
    disabled: bool = False
    limits: Mapping[str, Any] = field(default_factory=dict)

    def may_use(self, model: str) -> bool:
        """Whether this key may ask the route or ``provider/model`` of that name."""
        routes = self.limits.get("routes")
        return not routes or model in routes


class Keys:
    """All keys, in memory, written through to the metadata database."""

    def __init__(self, metadata: Metadata, found: Mapping[str, Key], clock: Callable[[], int]) -> None:
        self._metadata = metadata
        self._by_hash = dict(found)
        self._clock = clock

    @classmethod
    async def load(cls, metadata: Metadata, *, clock: Callable[[], int] = now_ns) -> Self:
        """Read every key."""
        rows = await metadata.read(records.read_keys)
        return cls(metadata, {row.pop("hash"): Key(**row) for row in rows}, clock)

    def authenticate(self, header: str) -> Key:
        """The key in an ``Authorization`` header. Raises Unauthorized, never repeating what was sent."""
        scheme, _, secret = header.partition(" ")
        if scheme.lower() != "bearer" or not secret.strip():
            raise Unauthorized("There is no key in this request.", mend="Send Authorization: Bearer tt-...")
        key = self._by_hash.get(_hash(secret.strip()))
        if key is None:
            raise Unauthorized("This key is not known.", mend="Ask for a key, or make one at /api/keys.")
        if key.disabled:
            raise Unauthorized(f"The key {key.name!r} is disabled.", mend="Ask for a new key.")
        if key.expires_ns and key.expires_ns <= self._clock():
            raise Unauthorized(f"The key {key.name!r} has expired.", mend="Ask for a new key.")
        return key

    def may_ask(self, header: str) -> Key:
        """Like ``authenticate``, for a request to a model. Raises Forbidden for a key that may only look."""
        key = self.authenticate(header)
        if key.role == "viewer":
            raise Forbidden(f"The key {key.name!r} may only look.", mend="Use a member or admin key.")
        return key

    def is_admin(self, secret: str) -> bool:
        """Whether this is the secret of a live admin key."""
        try:
            return self.authenticate(f"Bearer {secret}").role == "admin"
        except Unauthorized:
            return False

    async def create(
        self,
        name: str,
        *,
        owner: str = "",
        role: str = "member",
        expires_ns: int = 0,
        limits: Mapping[str, Any] | None = None,
    ) -> tuple[Key, str]:
        """Make a key. Returns it with its secret, which nobody can read again. Raises BadInput."""
        secret = f"tt-{secrets.token_urlsafe(32)}"
        key = Key(
            id=new_id("key"),
            name=name,
            prefix=secret[:_PREFIX],
            owner=owner,
            role=role,
            created_ns=self._clock(),
            expires_ns=expires_ns,
            limits=dict(limits or {}),
        )
        self._check(key)
        await self._keep(key, _hash(secret))
        return key, secret

    async def adopt(self, name: str, secret: str, *, role: str = "admin") -> Key:
        """See that a secret made elsewhere (the environment's) opens the door, under ``name`` and ``role``.

        A secret adopted under that name before is shut out: changing it in the environment rotates it.
        """
        digest = _hash(secret)
        if (known := self._by_hash.get(digest)) and not known.disabled and known.role == role:
            return known
        for key in self.list():
            if key.name == name and not key.prefix and not key.disabled:
                await self.disable(key.id)
        # No part of a secret that people chose themselves is kept, not even its start.
        key = Key(id=new_id("key"), name=name, prefix="", role=role, created_ns=self._clock())
        self._check(key)
        if known:
            await self._metadata.write(lambda connection: records.delete_key(connection, known.id))
        await self._keep(key, digest)
        return key

    async def disable(self, key_id: str) -> Key:
        """Shut a key out, from the next request on. Raises NotFound."""
        digest, key = next(((d, k) for d, k in self._by_hash.items() if k.id == key_id), ("", None))
        if key is None:
            raise NotFound(f"There is no key {key_id!r}.", field="id", mend="GET /api/keys lists what there is.")
        await self._metadata.write(lambda connection: records.disable_key(connection, key_id))
        self._by_hash[digest] = replace(key, disabled=True)
        return self._by_hash[digest]

    def list(self) -> list[Key]:
        """Every key, oldest first."""
        return sorted(self._by_hash.values(), key=lambda key: (key.created_ns, key.id))

    async def _keep(self, key: Key, digest: str) -> None:
        await self._metadata.write(lambda connection: records.insert_key(connection, key, digest))
        self._by_hash[digest] = key

    def _check(self, key: Key) -> None:
        if not 0 < len(key.name.strip()) <= 100 or not key.name.isprintable():
            raise BadInput("must be 1 to 100 printable characters.", field="name", mend="Name what will use the key.")
        if key.role not in ROLES:
            raise BadInput("is not a role.", field="role", mend=f"Use one of {', '.join(ROLES)}.")
        if not isinstance(key.expires_ns, int) or isinstance(key.expires_ns, bool) or key.expires_ns < 0:
            raise BadInput("must be nanoseconds since 1970, or 0.", field="expires_ns")
        _check_limits(key.limits)


def _check_limits(limits: Mapping[str, Any]) -> None:
    for name, value in limits.items():
        if name not in LIMITS:
            # A limit that nobody enforces would be a promise broken in silence.
            raise BadInput("is not a limit.", field=f"limits.{name}", mend=f"Known are {', '.join(LIMITS)}.")
        if name == "routes":
            if not isinstance(value, list) or not all(isinstance(route, str) and route for route in value):
                raise BadInput("must be a list of names.", field="limits.routes")
        elif not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise BadInput("must be a whole number from 1.", field=f"limits.{name}")


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
