"""A prompt version as a file that people review: YAML in two documents, what it is and what it says.

The first document is the version's front matter (address, number, digest, message), the second its content. ``digest``
is what the file was made from: it tells a change from an untouched file, and from a file that others have overtaken.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent
from ruamel.yaml.scalarstring import LiteralScalarString

from trimtab.core import BadInput, digest_of, parse_address

from .fields import an_object, known_keys

#: Largest file, in characters.
MAX_FILE = 4 * 1024 * 1024
_FRONT = ("address", "number", "digest", "message")


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptFile:
    """A prompt as a file holds it. ``number`` 0 and ``digest`` "" say that it was written by hand."""

    name: str
    content: Mapping[str, Any]
    number: int = 0
    digest: str = ""
    message: str = ""

    @property
    def own_digest(self) -> str:
        """The digest of the content as it stands in the file now."""
        return digest_of(self.content)

    @property
    def changed(self) -> bool:
        """Whether somebody changed the content since the file was made."""
        return self.own_digest != self.digest


def write_prompt_file(file: PromptFile, *, form: str = "yaml") -> str:
    """The file's text. ``form`` is yaml or json. Raises BadInput for what YAML cannot hold, which is rare: use json."""
    front = {
        "address": f"prompts:/{file.name}",
        "number": file.number,
        "digest": file.digest,
        "message": file.message,
    }
    if form == "json":
        return json.dumps({**front, "content": file.content}, indent=2, ensure_ascii=False) + "\n"
    text = f"---\n{_yaml(front)}---\n{_yaml(file.content)}"
    try:
        same = read_prompt_file(text, file.name) == file
    except BadInput:
        same = False
    if not same:
        raise BadInput(f"{file.name} cannot be written as YAML without loss", field="form", mend="Write it as JSON.")
    return text


def read_prompt_file(text: str, name: str) -> PromptFile:
    """Read a file. ``name`` is what it is called, for complaints, and the prompt's name where the file says none.

    Raises BadInput naming the file and the place. The content is not validated: the registry does that.
    """
    if len(text) > MAX_FILE:
        raise BadInput(f"has more than {MAX_FILE} characters", field=name, mend="That is no prompt.")
    documents = [_plain(document, name) for document in _documents(text, name)]
    if len(documents) == 1:
        only = an_object(documents[0], name, "messages: [...]")
        if "content" not in only:
            return PromptFile(name=name, content=only)
        known_keys(only, (*_FRONT, "content"), name)
        front, content = {key: value for key, value in only.items() if key != "content"}, only["content"]
    elif len(documents) == 2:
        front, content = documents
        known_keys(front, _FRONT, name)
    else:
        raise BadInput(f"holds {len(documents)} documents", field=name, mend="Write front matter, then the content.")
    return _file(name, front, an_object(content, f"{name}.content", "messages: [...]"))


def _file(name: str, front: Mapping[str, Any], content: Mapping[str, Any]) -> PromptFile:
    number = front.get("number", 0)
    if not isinstance(number, int) or isinstance(number, bool) or number < 0:
        raise BadInput("must be a whole number", field=f"{name}.number", mend="Leave it as it was pulled.")
    for key in ("address", "digest", "message"):
        if not isinstance(front.get(key, ""), str):
            raise BadInput("must be text", field=f"{name}.{key}", mend="Leave it as it was pulled.")
    address = parse_address(front["address"], "prompts") if front.get("address") else None
    if address is not None and address.kind != "prompts":
        raise BadInput("is no prompt's address", field=f"{name}.address", mend="Write prompts:/name.")
    return PromptFile(
        name=address.name if address else name,
        content=content,
        number=number,
        digest=front.get("digest", ""),
        message=front.get("message", ""),
    )


def _documents(text: str, name: str) -> list[Any]:
    if text.lstrip()[:1] == "{":
        with suppress(ValueError, RecursionError):  # then it is YAML, if anything
            return [json.loads(text, parse_constant=_no_number)]
    try:
        for event in YAML(typ="safe", pure=True).parse(text):
            if isinstance(event, AliasEvent):
                raise BadInput("holds an alias", field=name, mend="Write the value out.")
        return [document for document in YAML(typ="safe", pure=True).load_all(text) if document is not None]
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f" in line {mark.line + 1}" if mark else ""
        raise BadInput(f"is not valid YAML{line}: {error.problem or error.context}", field=name) from None
    except (YAMLError, ValueError, RecursionError) as error:
        raise BadInput(f"cannot be read: {' '.join(str(error).split())[:200]}", field=name) from None


def _no_number(text: str) -> float:
    raise BadInput(f"{text} is no number that JSON knows", field="content", mend="Write a finite number.")


def _plain(value: Any, field: str) -> Any:
    """Only what JSON knows: a date or a key that is no text is refused rather than turned into something else."""
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise BadInput(f"the key {key!r} is no text", field=field, mend="Put it in quotes.")
        return {key: _plain(item, f"{field}.{key}") for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item, f"{field}[{position}]") for position, item in enumerate(value)]
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise BadInput(f"is a {type(value).__name__}", field=field, mend="Put it in quotes.")


def _yaml(value: Mapping[str, Any]) -> str:
    yaml = YAML()
    yaml.width = 2**16
    yaml.allow_unicode = True
    out = io.StringIO()
    yaml.dump(_with_blocks(value), out)
    return out.getvalue()


def _with_blocks(value: Any) -> Any:
    """Texts of several lines as blocks, so that a review shows lines and not one long string."""
    if isinstance(value, Mapping):
        return {key: _with_blocks(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_with_blocks(item) for item in value]
    if isinstance(value, str) and "\n" in value and not value[:1].isspace():
        return LiteralScalarString(value)
    return value
