"""The json scanner: an answer must be JSON, and fit a JSON Schema (what a Pydantic model writes as its schema too)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trimtab.core import BadInput, Later

from .rail import schema_of
from .scanner import Match, Scan, Scanner, refuse_unknown
from .text import Text

if TYPE_CHECKING:
    import jsonschema_rs
else:
    jsonschema_rs = Later("jsonschema_rs")

_FENCE = re.compile(r"\A\s*```(?:json)?\s*\n([\s\S]*?)\n?\s*```\s*\Z", re.IGNORECASE)
_LIMIT = 1 << 20
_MOST_ERRORS = 5


def unfenced(text: str) -> str:
    """The text without the Markdown fence around it, if that is all there is around it."""
    fenced = _FENCE.match(text)
    return fenced.group(1) if fenced else text.strip()


def _build(options: Mapping[str, Any]) -> Scan:
    refuse_unknown(options, ("schema", "required", "rail"))
    schema, required, rail = options.get("schema"), options.get("required", []), options.get("rail")
    if rail is not None:
        if schema is not None or not isinstance(rail, str):
            raise BadInput("is text, in place of a schema", field="rail", mend="Give the schema or the specification.")
        schema = schema_of(rail)
    if not isinstance(required, Sequence) or isinstance(required, str):
        raise BadInput("must be a list of keys", field="required", mend="List the keys that an object must have.")
    if schema is None:
        schema = {"type": "object", "required": list(required)} if required else {}
    elif required:
        raise BadInput("stands in the schema already", field="required", mend="Give the schema or the keys.")
    try:
        validator = jsonschema_rs.validator_for(schema)
    except (jsonschema_rs.ValidationError, ValueError, TypeError) as error:
        reason = str(error).partition("\n")[0]
        raise BadInput(f"is no JSON Schema: {reason}", field="schema", mend="See json-schema.org.") from None

    def scan(text: Text) -> Sequence[Match]:
        whole = len(text.original)
        try:
            value = json.loads(unfenced(text.original[:_LIMIT]))
        except (ValueError, RecursionError) as error:
            return [Match("not-json", 0, whole, 1.0, note=str(error)[:200])]
        errors = [_wrong(error) for _, error in zip(range(_MOST_ERRORS), validator.iter_errors(value), strict=False)]
        return [Match("schema", 0, whole, 1.0, note="; ".join(errors))] if errors else []

    return scan


def _wrong(error: Any) -> str:
    """Where a value is wrong and which rule it breaks, without the value."""
    path = "/".join(str(part) for part in error.instance_path) or "the whole"
    rule = "/".join(str(part) for part in error.schema_path)
    return f"{path} breaks {rule}"


SCANNERS = (
    Scanner(
        name="json",
        stages=("output",),
        description="An answer that is not JSON or does not fit a JSON Schema; with reask it is asked for once more.",
        build=_build,
        options={
            "schema": "a JSON Schema",
            "required": "keys that an object must have, in place of a schema",
            "rail": "a RAIL specification, in place of a schema",
        },
    ),
)
