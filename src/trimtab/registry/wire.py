"""What the registry's routes read and write: bodies, queries, and records as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from trimtab.core import BadInput, Change, Layer, Version, body_as, whole_number
from trimtab.core import actor_of as acting

from .books import May
from .ledger import label_of
from .readings import Readings

T = TypeVar("T")

_LAYERS = {layer.name.lower(): int(layer) for layer in Layer}


def version_json(registry: Readings, version: Version, *, content: bool = True) -> dict[str, Any]:
    """A version with its addresses and the labels that stand at it."""
    labels = registry.labels(version.kind, version.name)
    at = sorted(label for label, number in labels.items() if number == version.number)
    own = {field.name: getattr(version, field.name) for field in fields(Version) if content or field.name != "content"}
    return {**own, "pin": version.pin, "address": version.address, "labels": at}


def change_json(change: Change) -> dict[str, Any]:
    """A change with its layer, its asset and its label."""
    return {**asdict(change), "layer": int(change.layer), "asset": change.asset, "label": label_of(change)}


def answer(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """JSON."""
    return Response(msgspec.json.encode(content), status, headers=headers, media_type="application/json")


async def body_of(request: Request, shape: type[T], *, needed: bool = False) -> T:
    """The body as ``shape``, an empty one as an empty object unless ``needed``. Raises BadInput naming the field."""
    return body_as(await request.body(), shape, needed=needed)


def asked(request: Request, name: str) -> str:
    """A parameter of the query that must be there."""
    value = request.query_params.get(name, "")
    if not value:
        raise BadInput(f"The query has no {name}.", field=name, mend=f"Add ?{name}=... to the address.")
    return value


def whole(request: Request, name: str, default: int = 0) -> int:
    """A parameter of the query that is a whole number."""
    return whole_number(request.query_params, name, default)


def limit_of(request: Request, default: int = 200) -> int:
    """How many are asked for."""
    return whole_number(request.query_params, "limit", default, 1000, least=1)


def actor_of(request: Request, said: str) -> str:
    """Who acts, as the whole server says it."""
    return acting(request.scope, said)


def may_of(request: Request, override: str = "") -> May:
    """What the caller may do, as far as the web layer found out who it is."""
    return May(role=str(request.scope.get("trimtab.role", "")), override=override)


def layer_of(said: str | int) -> int:
    """A layer by number or name; 0 when none is said. Raises BadInput."""
    number = said if isinstance(said, int) else _LAYERS.get(said.strip().lower(), 0 if not said else -1)
    if number not in (0, *_LAYERS.values()):
        raise BadInput(f"{said!r} is no layer.", field="layer", mend=f"Use one of {', '.join(_LAYERS)}.")
    return number


def moment_of(said: str | int, field: str) -> int:
    """Nanoseconds UTC: as they are, or as ISO 8601 with a time zone. Raises BadInput."""
    if isinstance(said, int):
        return said
    try:
        moment = datetime.fromisoformat(said.strip())
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        mend = "Write it like 2026-11-25T14:05:00Z, or as nanoseconds since 1970."
        raise BadInput(f"{said[:60]!r} is no moment with a time zone.", field=field, mend=mend)
    return int(moment.timestamp() * 1_000_000) * 1000
