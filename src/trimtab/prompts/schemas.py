"""JSON Schema, offline: a schema that points elsewhere is refused, and never fetched."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from trimtab.core import BadInput, Later

if TYPE_CHECKING:
    import jsonschema_rs
else:
    jsonschema_rs = Later("jsonschema_rs")

MAX_BYTES = 256 * 1024


def check_schema(schema: object, field: str) -> None:
    """Raise BadInput unless this is a JSON Schema that can be checked on this machine alone."""
    if not isinstance(schema, Mapping):
        raise BadInput("must be an object", field=field, mend='Write a JSON Schema such as {"type": "object"}.')
    try:
        text = json.dumps(schema, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise BadInput("is not JSON", field=field, mend="Use plain JSON values.") from None
    if len(text) > MAX_BYTES:
        raise BadInput(f"has {len(text)} characters", field=field, mend=f"Use at most {MAX_BYTES}.")
    try:
        _validator(text)
    except ValueError as error:
        mend = "Correct it; references may only lead to places inside the schema itself."
        raise BadInput(f"is not a usable JSON Schema: {_first_line(error)}", field=field, mend=mend) from None


def broken_rule(schema: Mapping[str, Any], value: Any) -> str:
    """What is wrong with a value, as one line with its place; empty when it fits. The schema must have been checked."""
    validator = _validator(json.dumps(schema, sort_keys=True))
    try:
        error = next(iter(validator.iter_errors(value)), None)
    except ValueError as found:
        return _first_line(found)
    if error is None:
        return ""
    place = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.instance_path)
    return f"{place.lstrip('.') or 'the answer'}: {_first_line(error)}"


@lru_cache(maxsize=256)
def _validator(text: str) -> Any:
    return jsonschema_rs.validator_for(
        json.loads(text),
        retriever=_refuse,
        # Linear time, whatever pattern a schema holds.
        pattern_options=jsonschema_rs.RegexOptions(),
    )


def _refuse(uri: str) -> Any:
    raise ValueError(f"it points to {uri[:200]!r}, and nothing is fetched")


def _first_line(error: ValueError) -> str:
    return " ".join(str(error).partition("\n")[0].split())[:300]
