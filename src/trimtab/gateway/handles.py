"""The ids of responses that an account of a provider keeps, as the gateway hands them out.

All keys share the account, and whoever knows an id of it may read the response and go on from it. So a client never
sees the account's own id. It gets one that says which account made the response, sealed, and signed for the key that
asked. With another key, or changed in a letter, it is an id that was never handed out. Nothing is stored for that:
every process that knows the installation's secret reads the ids of all others.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from typing import Literal, NamedTuple

import msgspec

from .keys import Key

#: How OpenAI's ids begin, and the longest one that is read.
PREFIX, LONGEST = "resp_", 2000
#: Bytes of the signature.
_SIGNED = 16
_WRITTEN = re.compile(r"resp_[A-Za-z0-9_-]+")

#: What may be done with a response that is kept.
Act = Literal["retrieve", "input_items", "cancel", "delete"]


class Handle(NamedTuple):
    """A response that an account keeps: ``provider/model`` that made it, the route or model that was asked, and its
    id there. ``trace`` and ``time_ns`` are those of the request, where it was made in the background. ``guard`` is the
    policy that was on duty, by its name. ``hid`` says that it hid something in the question, and put it back."""

    ref: str
    model: str
    ident: str
    trace: str = ""
    time_ns: int = 0
    guard: str = ""
    hid: bool = False

    @property
    def account(self) -> str:
        """The provider, by its name in the configuration."""
        return self.ref.partition("/")[0]


class Stored(NamedTuple):
    """What a client wants of a response that is kept: ``ident`` is the id as it wrote it, ``query`` what it asked
    besides. Of a stream it wants the events after the number ``after``."""

    handle: Handle
    ident: str
    act: Act
    query: str = ""
    after: int | None = None


class Handles:
    """Ids made and read. ``secret`` is the installation's, the same in all its processes and after every restart."""

    def __init__(self, secret: bytes) -> None:
        self._signing, self._sealing = (hmac.digest(secret, use, hashlib.sha256) for use in (b"sign", b"seal"))

    def write(self, key: Key, handle: Handle) -> str:
        """The id of a response for this key: always the same one."""
        said = msgspec.msgpack.encode(handle)
        signature = self._signature(key, said)
        return PREFIX + base64.urlsafe_b64encode(signature + self._sealed(signature, said)).decode().rstrip("=")

    def read(self, key: Key, ident: object) -> Handle | None:
        """The response behind an id; None for one that was never handed out to this key."""
        if not isinstance(ident, str) or len(ident) > LONGEST or not _WRITTEN.fullmatch(ident):
            return None
        packed = ident.removeprefix(PREFIX)
        try:
            found = base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4))
        except binascii.Error:
            return None
        signature = found[:_SIGNED]
        said = self._sealed(signature, found[_SIGNED:])
        if not hmac.compare_digest(signature, self._signature(key, said)):
            return None
        return msgspec.msgpack.decode(said, type=Handle)

    def _signature(self, key: Key, said: bytes) -> bytes:
        return hmac.digest(self._signing, b"%s\0%s" % (key.id.encode(), said), hashlib.sha256)[:_SIGNED]

    def _sealed(self, signature: bytes, text: bytes) -> bytes:
        """The text hidden, or a hidden one as it was. Its signature is what no two texts have in common, as in SIV
        (RFC 5297): so the same text always looks the same, and no two are hidden in the same way."""
        pad = hashlib.shake_256(self._sealing + signature).digest(len(text))
        return bytes(a ^ b for a, b in zip(text, pad, strict=True))
