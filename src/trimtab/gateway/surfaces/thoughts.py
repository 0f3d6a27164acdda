"""Signed thoughts of one vendor, carried through a client of the Responses API and back."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

#: What ``encrypted_content`` of a reasoning item begins with when it is ours.
_OURS = "trimtab:"


def sealed(blocks: Sequence[Any]) -> str:
    """Thinking blocks as ``encrypted_content``, which clients hand back untouched."""
    return _OURS + base64.b64encode(msgspec.json.encode(list(blocks))).decode()


def thoughts_in(item: Mapping[str, Any]) -> list[Any]:
    """The thinking blocks in a reasoning item that was made here; none in any other."""
    found = item.get("encrypted_content")
    if not isinstance(found, str) or not found.startswith(_OURS):
        return []
    try:
        blocks = msgspec.json.decode(base64.b64decode(found.removeprefix(_OURS), validate=True))
    except (binascii.Error, msgspec.DecodeError, ValueError, RecursionError):
        return []
    return blocks if isinstance(blocks, list) else []
