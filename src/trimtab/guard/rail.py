"""The output part of a RAIL specification (Guardrails AI's XML) as a JSON Schema. Pure.

Types, nesting, required fields and the validators that a schema can say: length, range, choices and regular expression.
Any other validator or element is refused by name, since an answer would go unchecked by it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from trimtab.core import BadInput, Later

if TYPE_CHECKING:
    from xml.etree import ElementTree
else:
    ElementTree = Later("xml.etree.ElementTree")

#: The longest specification that is read, and how deep its elements may lie.
LONGEST, DEEPEST = 200_000, 40
_TYPES: Mapping[str, Mapping[str, Any]] = {
    "string": {"type": "string"}, "integer": {"type": "integer"}, "float": {"type": "number"},
    "bool": {"type": "boolean"}, "boolean": {"type": "boolean"}, "date": {"type": "string", "format": "date"},
    "time": {"type": "string", "format": "time"}, "date-time": {"type": "string", "format": "date-time"},
    "email": {"type": "string", "format": "email"}, "url": {"type": "string", "format": "uri"},
    "enum": {}, "any": {},
}  # fmt: skip
#: Attributes that say nothing about the value: what is done about a wrong one is the policy's to say.
_SILENT = re.compile(r"^(?:name|description|required|validators|format|values|on-fail.*)$")
_FIELD = "rail"


def schema_of(text: str) -> dict[str, Any]:
    """The JSON Schema of a specification. Raises BadInput naming what is wrong or cannot be said in a schema."""
    if len(text) > LONGEST or "<!" in re.sub(r"<!--.*?-->|<!\[CDATA\[", "", text, flags=re.DOTALL):
        mend = "Leave out document types and entities."
        raise BadInput("is too long, or declares a document type", field=_FIELD, mend=mend)
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise BadInput(f"is no XML: {error}", field=_FIELD, mend="Write <rail><output>...</output></rail>.") from None
    output = root if root.tag == "output" else root.find("output")
    if output is None:
        raise BadInput("has no output", field=_FIELD, mend="Write <rail><output>...</output></rail>.")
    kind = output.get("type", "object")
    if kind == "string" and not len(output):
        return {}
    return _list(output, 0) if kind == "list" else _object(output, 0)


def _element(element: ElementTree.Element, depth: int) -> dict[str, Any]:
    if depth > DEEPEST:
        raise BadInput("is nested too deeply", field=_FIELD, mend="Write it flatter.")
    for attribute in element.attrib:
        if not _SILENT.match(attribute):
            raise BadInput(f"{attribute} of <{element.tag}> is not known", field=_FIELD, mend="Leave it out.")
    if element.tag == "object":
        schema = _object(element, depth)
    elif element.tag == "list":
        schema = _list(element, depth)
    elif element.tag in _TYPES:
        schema = dict(_TYPES[element.tag])
    else:
        known = ", ".join(("object", "list", *_TYPES))
        raise BadInput(f"<{element.tag}> is not known", field=_FIELD, mend=f"Use {known}.")
    if description := element.get("description"):
        schema["description"] = description
    if values := element.get("values"):
        schema["enum"] = [each.strip() for each in values.split(",")]
    for validator in _validators(element):
        _apply(validator, schema, element.tag)
    return schema


def _object(element: ElementTree.Element, depth: int) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    required: list[str] = []
    for child in element:
        name = child.get("name")
        if not name:
            raise BadInput(f"a <{child.tag}> has no name", field=_FIELD, mend="Give each field a name.")
        properties[name] = _element(child, depth + 1)
        if child.get("required", "true").strip().casefold() != "false":
            required.append(name)
    return {"type": "object", "properties": properties, "required": required}


def _list(element: ElementTree.Element, depth: int) -> dict[str, Any]:
    children = list(element)
    if len(children) > 1:
        raise BadInput("a <list> has more than one element", field=_FIELD, mend="Put them into an <object>.")
    return {"type": "array", **({"items": _element(children[0], depth + 1)} if children else {})}


def _validators(element: ElementTree.Element) -> list[str]:
    """The validators of an element, under today's and the earlier attribute: ``length: 1 10; regex: ^a``."""
    written = element.get("validators") or element.get("format") or ""
    return [each.strip() for each in re.split(r";(?![^{]*\})", written) if each.strip()]


def _apply(validator: str, schema: dict[str, Any], tag: str) -> None:
    name, _, rest = validator.partition(":")
    # Validators of the hub are named like ``guardrails/valid_length``.
    plain = name.strip().rpartition("/")[2].replace("_", "-")
    apply = _KNOWN.get(plain)
    if apply is None:
        mend = f"Use {', '.join(_KNOWN)} here, and a scanner for the rest."
        raise BadInput(f"the validator {name.strip()} cannot be said in a schema", field=_FIELD, mend=mend)
    try:
        schema.update(apply(rest.strip(), tag))
    except (ValueError, SyntaxError):
        raise BadInput(f"the validator {validator!r} is not understood", field=_FIELD, mend="Check it.") from None


def _length(rest: str, tag: str) -> dict[str, Any]:
    least, most = (int(part) for part in rest.split())
    low, high = ("minItems", "maxItems") if tag == "list" else ("minLength", "maxLength")
    return {low: least, high: most}


def _range(rest: str, tag: str) -> dict[str, Any]:
    least, most = (None if part == "None" else float(part) for part in rest.split())
    return {key: value for key, value in (("minimum", least), ("maximum", most)) if value is not None}


def _choices(rest: str, tag: str) -> dict[str, Any]:
    values = ast.literal_eval(rest.strip("{} "))
    if not isinstance(values, list):
        raise ValueError(rest)
    return {"enum": values}


def _regex(rest: str, tag: str) -> dict[str, Any]:
    return {"pattern": rest.strip("{} ").strip("'\"")}


_KNOWN: Mapping[str, Callable[[str, str], dict[str, Any]]] = {
    "length": _length, "valid-length": _length, "valid-range": _range, "valid-choices": _choices,
    "regex": _regex, "regex-match": _regex,
}  # fmt: skip
