"""The text of a message, for everybody who reads one."""

from __future__ import annotations

from collections.abc import Collection, Mapping

#: Kinds of parts that are the words of whoever wrote the message; a document, say, is somebody else's.
OWN_WORDS = frozenset({"text", "input_text", "output_text"})


def text_in(content: object, kinds: Collection[str] = ()) -> str:
    """The text of a message's content; of several parts whatever any of them holds as its text, a line each. What kind
    a part says it is does not matter: whoever guards a message must not be told what to overlook. Whoever trusts its
    writer names the ``kinds`` that count, such as OWN_WORDS; a part that names none is text."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list | tuple):
        return ""
    return "\n".join(
        text
        for part in content
        if isinstance(part, Mapping)
        and (not kinds or str(part.get("type", "text")) in kinds)
        and (text := _text_of(part.get("text"))) is not None
    )


def _text_of(given: object) -> str | None:
    if isinstance(given, Mapping):  # with annotations, as an assistant's messages have it
        given = given.get("value")
    return given if isinstance(given, str) else None
