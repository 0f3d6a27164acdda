"""Who wrote a text: the user, the model, or somebody outside whose text is data and never an instruction. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from trimtab.core import BadInput

SOURCES = ("user", "assistant", "document", "tool", "email", "memory")
#: Sources whose text is data.
OUTSIDE = ("document", "tool", "email", "memory")
#: What a rule for one source is a rule for as well: an e-mail is a document, a memory is read like one.
_KIN: Mapping[str, tuple[str, ...]] = {"email": ("email", "document"), "memory": ("memory", "document", "tool")}
_MOST, _LONGEST = 1000, 300


class Provenance(NamedTuple):
    """Where one message of a request, or one part of it, comes from. ``part`` is -1 for the whole message; ``origin``
    is for people: an address, a title, a tool's name."""

    message: int
    part: int
    source: str
    origin: str = ""


def kin(source: str) -> tuple[str, ...]:
    """The sources whose rules apply to a text of this source."""
    return _KIN.get(source, (source,))


def scanned_as(source: str) -> str:
    """The source that scanners know a text by: e-mails and memories are documents to them."""
    return "document" if source in _KIN else source


def read_sources(written: object, messages: int, field: str) -> tuple[Provenance, ...]:
    """What a client says of its messages: ``[{"message", "part"?, "source", "origin"?}]``. Raises BadInput."""
    if written is None:
        return ()
    mend = 'Write [{"message": 0, "source": "email", "origin": "..."}].'
    if not isinstance(written, Sequence) or isinstance(written, str) or len(written) > _MOST:
        raise BadInput(f"must be a list of at most {_MOST}.", field=field, mend=mend)
    return tuple(_read(item, messages, f"{field}[{position}]", mend) for position, item in enumerate(written))


def _read(item: Any, messages: int, field: str, mend: str) -> Provenance:
    if not isinstance(item, Mapping):
        raise BadInput("must be an object.", field=field, mend=mend)
    for key in item:
        if key not in ("message", "part", "source", "origin"):
            raise BadInput("is not known.", field=f"{field}.{key}", mend=mend)
    message, part = item.get("message"), item.get("part", -1)
    for key, number, most in (("message", message, messages), ("part", part, _MOST)):
        low = -1 if key == "part" else 0
        if not isinstance(number, int) or isinstance(number, bool) or not low <= number < most:
            raise BadInput("is not the position of one.", field=f"{field}.{key}", mend="Count from 0.")
    source, origin = item.get("source"), item.get("origin", "")
    if source not in OUTSIDE:
        raise BadInput(f"{source!r} is not known.", field=f"{field}.source", mend=f"Use {', '.join(OUTSIDE)}.")
    if not isinstance(origin, str) or len(origin) > _LONGEST:
        raise BadInput(f"must be text of at most {_LONGEST} characters.", field=f"{field}.origin", mend=mend)
    return Provenance(int(message or 0), part, source, origin)
