"""What somebody asks over HTTP: a body as a shape, a number of the query. Each refusal names the field and the mend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from .errors import BadInput, TooLarge

T = TypeVar("T")

#: The largest whole number that every database holds.
MOST = 2**63 - 1


def body_as(raw: bytes, shape: type[T], *, mend: str = "", most: int = 0, needed: bool = False) -> T:
    """A request's JSON body as ``shape``; an empty one is an empty object unless it is ``needed``. Pure, so that a
    large one can be read in a thread.

    Raises BadInput that names the place which does not fit, and TooLarge over ``most`` bytes where that is given.
    """
    if most and len(raw) > most:
        raise TooLarge(f"The body is larger than {most:,} bytes.", field="body", mend="Send less at once.")
    try:
        return msgspec.json.decode(raw if needed else raw or b"{}", type=shape)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        # msgspec ends its message with the path of the field: "Expected `str`, got `int` - at `$.lesson`".
        what, _, where = str(error).partition(" - at `$")
        field = where.rstrip("`").lstrip(".") or "body"
        mend = mend or f"Send a JSON object; {'it' if field == 'body' else field} is what does not fit."
        raise BadInput(f"The body does not fit: {what.rstrip('.')}.", field=field, mend=mend) from error


def only(body: Mapping[str, Any], known: Sequence[str]) -> Mapping[str, Any]:
    """The same object. Raises BadInput for a field that is not known."""
    for key in body:
        if key not in known:
            raise BadInput("is not a known field", field=str(key)[:60], mend=f"The fields are {', '.join(known)}.")
    return body


def whole_number(query: Mapping[str, str], name: str, usual: int, most: int = MOST, *, least: int = 0) -> int:
    """A parameter of the query, ``usual`` where it is not given. Raises BadInput outside ``least`` to ``most``."""
    text = query.get(name, "")
    if not text:
        return usual
    if not (text.isascii() and text.isdigit() and len(text) <= 19 and least <= int(text) <= most):
        raise BadInput(f"The {name} {text[:40]!r} is out of range.", field=name, mend=f"Give {least} to {most}.")
    return int(text)
