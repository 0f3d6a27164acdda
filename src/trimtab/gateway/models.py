"""The list of models, and one of them, in the shape of the client that asks."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from trimtab.core import NotFound

from .ask import bearer
from .wire import SECOND, model_entry

if TYPE_CHECKING:
    from .gateway import Gateway


def model_answer(gateway: Gateway, headers: Mapping[str, str], name: str) -> bytes:
    """The models that the key may ask for, or the one called ``name``.

    Anthropic's clients, which send ``anthropic-version``, get Anthropic's shape. Raises Unauthorized and NotFound.
    """
    key = gateway.keys.authenticate(bearer(headers))
    shape = _anthropic if "anthropic-version" in headers else model_entry
    created = gateway.started_ns
    if name:
        owner = gateway.owner_of(name) if key.may_use(name) else ""
        if not owner:
            raise NotFound(f"There is no model {name[:100]!r} for this key.", field="model", mend="See /v1/models.")
        return msgspec.json.encode(shape(name, owner, created))
    entries = [shape(name, owner, created) for name, owner in gateway.model_names() if key.may_use(name)]
    whole: dict[str, Any] = {"object": "list", "data": entries}
    if shape is _anthropic:
        ids = [entry["id"] for entry in entries] or [None]
        whole = {"data": entries, "has_more": False, "first_id": ids[0], "last_id": ids[-1]}
    return msgspec.json.encode(whole)


def _anthropic(name: str, owner: str, created_ns: int) -> dict[str, Any]:
    created = datetime.fromtimestamp(created_ns // SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"type": "model", "id": name, "display_name": name, "created_at": created}
