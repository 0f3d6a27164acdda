"""Virtual keys: who may ask. The table lives in memory; only the SHA-256 of a secret is ever kept."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from trimtab.core import BadInput, Forbidden, NotFound, Unauthorized, new_id, now_ns
from trimtab.store import Metadata

from . import records
from .limitset import LIMITS, read_limits

#: What each may do: admin everything; member call models, send spans, logs and scores, read what its program needs
#: (versions, labels) and ask the guard; viewer look at everything and change nothing, nor call models.
ROLES = ("admin", "member", "viewer")
KEY_LIMITS = (*LIMITS, "routes")
#: Seconds for which a secret that was replaced may go on to open the door, at most: thirty days.
LONGEST_OVERLAP_S = 30 * 86_400.0

PREFIX = 7  # of the secret: "tt-" and four characters, enough to tell keys apart and too little to guess from


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A virtual key. ``prefix`` is how its secret starts. Times are nanoseconds UTC, 0 = never.

    ``limits``: ``rpm`` requests and ``tpm`` tokens a minute, ``max_parallel`` requests at once, of which ``max_queue``
    more may wait for ``queue_timeout`` seconds, ``budget_usd`` in each ``period`` (day or month), ``routes`` the routes
    and ``provider/model`` names it may use; what is absent is not limited. ``old_until_ns`` is how long the secret
    before the last rotation still opens the door.
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
    team: str = ""
    old_until_ns: int = 0

    def may_use(self, model: str) -> bool:
        """Whether this key may ask the route or ``provider/model`` of that name."""
        routes = self.limits.get("routes")
        return not routes or model in routes


class Keys:
    """All keys, in memory, written through to the metadata database."""

    def __init__(self, metadata: Metadata, clock: Callable[[], int]) -> None:
        self._metadata = metadata
        self._by_hash: dict[str, Key] = {}
        self._old: dict[str, str] = {}  # hash of a secret that was replaced -> hash of the one that replaced it
        self._clock = clock
        #: Called after a change is on disk and before it is answered for: other processes must hear of it by then.
        self.on_change: list[Callable[[], Awaitable[None]]] = []

    @classmethod
    async def load(cls, metadata: Metadata, *, clock: Callable[[], int] = now_ns) -> Self:
        """Read every key."""
        keys = cls(metadata, clock)
        await keys.reload()
        return keys

    async def reload(self) -> None:
        """Read every key again, because another process changed some. Where that fails, those in memory stay."""
        rows = await self._metadata.read(records.read_keys)
        by_hash: dict[str, Key] = {}
        old: dict[str, str] = {}
        for row in rows:
            digest, before = row.pop("hash"), row.pop("old_hash")
            by_hash[digest] = Key(**row)
            if before:
                old[before] = digest
        self._by_hash, self._old = by_hash, old

    def authenticate(self, header: str) -> Key:
        """The key in an ``Authorization`` header. Raises Unauthorized, never repeating what was sent."""
        scheme, _, secret = header.partition(" ")
        if scheme.lower() != "bearer" or not secret.strip():
            raise Unauthorized("There is no key in this request.", mend="Send Authorization: Bearer tt-...")
        digest = _hash(secret.strip())
        key = self._by_hash.get(digest) or self._replaced(digest)
        if key is None:
            raise Unauthorized("This key is not known.", mend="Ask for a key, or make one at /api/keys.")
        if key.disabled:
            raise Unauthorized(f"The key {key.name!r} is disabled.", mend="Ask for a new key.")
        if key.expires_ns and key.expires_ns <= self._clock():
            raise Unauthorized(f"The key {key.name!r} has expired.", mend="Ask for a new key.")
        return key

    def may_ask(self, header: str) -> Key:
        """Like ``authenticate``, for a request to a model, or for spans and scores that come in. Raises Forbidden for
        a key that may only look."""
        key = self.authenticate(header)
        if key.role == "viewer":
            raise Forbidden(f"The key {key.name!r} may only look.", mend="Use a member or admin key.")
        return key

    def is_admin(self, secret: str) -> bool:
        """Whether this is the secret of a live admin key."""
        return self.role_of(secret) == "admin"

    def role_of(self, secret: str) -> str:
        """The role of the live key with this secret; empty when there is none."""
        try:
            return self.authenticate(f"Bearer {secret}").role
        except Unauthorized:
            return ""

    def owner_of(self, secret: str) -> str:
        """Whose the live key with this secret is; empty when there is none, or it belongs to nobody."""
        try:
            return self.authenticate(f"Bearer {secret}").owner
        except Unauthorized:
            return ""

    async def create(
        self,
        name: str,
        *,
        owner: str = "",
        role: str = "member",
        expires_ns: int = 0,
        limits: Mapping[str, Any] | None = None,
        team: str = "",
    ) -> tuple[Key, str]:
        """Make a key. Returns it with its secret, which nobody can read again. Raises BadInput."""
        secret = _new_secret()
        key = Key(
            id=new_id("key"),
            name=name,
            prefix=secret[:PREFIX],
            owner=owner,
            role=role,
            created_ns=self._clock(),
            expires_ns=expires_ns,
            limits=dict(limits or {}),
            team=team,
        )
        self._check(key)
        await self._keep(key, _hash(secret))
        return key, secret

    async def change(self, key_id: str, **fields: Any) -> Key:
        """Give a key another name, owner, team, role, expiry or other limits, from the next request on.

        Raises NotFound, and BadInput naming the field.
        """
        digest, key = self._find(key_id)
        changed = replace(key, **fields)
        self._check(changed)
        await self._replace(digest, changed)
        return changed

    async def rotate(self, key_id: str, *, overlap_s: float = 0.0) -> tuple[Key, str]:
        """A new secret for a key; the one before opens the door for ``overlap_s`` seconds more. Returns the new one.

        Of two rotations within one overlap the first secret is shut out at once. Raises NotFound and BadInput.
        """
        digest, key = self._find(key_id)
        if not 0 <= overlap_s <= LONGEST_OVERLAP_S:
            raise BadInput(f"must be seconds from 0 to {LONGEST_OVERLAP_S:.0f}.", field="overlap_s")
        secret = _new_secret()
        until_ns = self._clock() + int(overlap_s * 1e9) if overlap_s else 0
        rotated = replace(key, prefix=secret[:PREFIX], old_until_ns=until_ns)
        hashes = {"hash": _hash(secret), "old_hash": digest if until_ns else ""}
        await self._metadata.write(lambda connection: records.update_key(connection, rotated, hashes))
        self._forget(digest)
        self._by_hash[hashes["hash"]] = rotated
        if until_ns:
            self._old[digest] = hashes["hash"]
        await self._tell()
        return rotated, secret

    def get(self, key_id: str) -> Key:
        """One key. Raises NotFound."""
        return self._find(key_id)[1]

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
            self._forget(digest)
        await self._keep(key, digest)
        return key

    async def disable(self, key_id: str) -> Key:
        """Shut a key out, from the next request on. Raises NotFound."""
        return await self.change(key_id, disabled=True)

    def list(self) -> list[Key]:
        """Every key, oldest first."""
        return sorted(self._by_hash.values(), key=lambda key: (key.created_ns, key.id))

    def _find(self, key_id: str) -> tuple[str, Key]:
        for digest, key in self._by_hash.items():
            if key.id == key_id:
                return digest, key
        raise NotFound(f"There is no key {key_id[:100]!r}.", field="id", mend="GET /api/keys lists what there is.")

    def _replaced(self, digest: str) -> Key | None:
        """The key whose secret before this was, while it may still be used."""
        key = self._by_hash.get(self._old.get(digest, ""))
        return key if key is not None and key.old_until_ns > self._clock() else None

    def _forget(self, digest: str) -> None:
        self._by_hash.pop(digest, None)
        self._old = {old: new for old, new in self._old.items() if new != digest}

    async def _keep(self, key: Key, digest: str) -> None:
        await self._metadata.write(lambda connection: records.insert_key(connection, key, digest))
        self._by_hash[digest] = key
        await self._tell()

    async def _replace(self, digest: str, key: Key) -> None:
        await self._metadata.write(lambda connection: records.update_key(connection, key, {}))
        self._by_hash[digest] = key
        await self._tell()

    async def _tell(self) -> None:
        for tell in self.on_change:
            await tell()

    def _check(self, key: Key) -> None:
        if not 0 < len(key.name.strip()) <= 100 or not key.name.isprintable():
            raise BadInput("must be 1 to 100 printable characters.", field="name", mend="Name what will use the key.")
        if key.role not in ROLES:
            raise BadInput("is not a role.", field="role", mend=f"Use one of {', '.join(ROLES)}.")
        if not isinstance(key.expires_ns, int) or isinstance(key.expires_ns, bool) or key.expires_ns < 0:
            raise BadInput("must be nanoseconds since 1970, or 0.", field="expires_ns")
        for name in ("owner", "team"):
            value = getattr(key, name)
            if not isinstance(value, str) or len(value) > 100 or not (value.isprintable() or not value):
                raise BadInput("must be at most 100 printable characters.", field=name)
        check_key_limits(key.limits)


def check_key_limits(limits: Mapping[str, Any]) -> None:
    """Raises BadInput naming the limit that cannot be."""
    routes = limits.get("routes")
    if routes is not None and (not isinstance(routes, list) or not all(isinstance(r, str) and r for r in routes)):
        raise BadInput("must be a list of names.", field="limits.routes")
    read_limits({name: value for name, value in limits.items() if name != "routes"})


def prefix_of(secret: str) -> str:
    """How a secret of ours starts, which is shown in lists; empty for what is none of ours."""
    return secret[:PREFIX] if secret.startswith("tt-") and len(secret) > 2 * PREFIX else ""


def _new_secret() -> str:
    return f"tt-{secrets.token_urlsafe(32)}"


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
