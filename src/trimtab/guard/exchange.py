"""What the server and a scanning process say to each other: frames of a length and that many bytes, over two pipes.

The server sends a ``Question``, then the text and all texts of its context, each in pieces and an empty frame. The
process says with an empty frame that it is ready, and answers each question with findings in parts, the last of which
bears the failures. Pieces and parts are small, so that nothing that is packed or unpacked keeps the server's other
threads waiting for long.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from itertools import count, repeat
from typing import Any, BinaryIO

import msgspec

from .text import Context, Turn, encodable
from .verdicts import Failure, Finding

#: Characters of a text, and findings, of one frame.
PIECE, PART = 1 << 16, 256
#: Bytes of the longest frame: a question with the lines of a policy, and who spoke in the conversation.
LONGEST = 1 << 26


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What a text is asked: the stage of a policy, at a risk. ``content`` is what the policy writes of that stage, and
    ``digest`` tells it from others. ``within`` is seconds. The texts of the context go their own way."""

    within: float
    digest: str
    content: dict[str, Any]
    stage: str
    tier: str
    context: Context


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """Some of the findings, in order; ``failures`` ends the answer."""

    findings: list[Finding] = []
    failures: list[Failure] | None = None


_pack = msgspec.msgpack.Encoder().encode
_questions = msgspec.msgpack.Decoder(Question)
_parts = msgspec.msgpack.Decoder(Part)


def portable(content: Mapping[str, Any]) -> dict[str, Any] | None:
    """A policy's content as another process gets it; None for one that cannot be sent, which only a program can make:
    with a mapping of its own, or a number of more than 64 bits."""
    try:
        return msgspec.msgpack.decode(_pack(dict(content)), type=dict[str, Any])
    except (TypeError, ValueError, OverflowError):
        return None


def _texts(context: Context) -> list[str]:
    """All texts of a context, as ``_with_texts`` takes them."""
    turns = [turn.text for turn in context.turns]
    return [context.system, context.asked, *context.passages, *context.canaries, *turns]


def _with_texts(context: Context, texts: Iterator[str]) -> Context:
    """A context with other texts in place of its own. What no scanner knows of is left out."""
    return dataclasses.replace(
        context,
        system=next(texts),
        asked=next(texts),
        passages=tuple(next(texts) for _ in context.passages),
        canaries=tuple(next(texts) for _ in context.canaries),
        turns=tuple(Turn(encodable(turn.role), next(texts)) for turn in context.turns),
        extra={},
    )


def send(file: BinaryIO, message: bytes = b"") -> None:
    """Write one frame. Raises OSError when the other side is gone."""
    _put(file, message)
    file.flush()


def _put(file: BinaryIO, message: bytes = b"") -> None:
    file.write(len(message).to_bytes(4, "big") + message)


def receive(file: BinaryIO) -> bytes:
    """Read one frame. Raises EOFError when the other side is gone, ValueError for what is no frame."""
    head = file.read(4)
    size = int.from_bytes(head, "big")
    if size > LONGEST:
        raise ValueError("a frame is too long")
    message = file.read(size) if len(head) == 4 else b""
    if len(head) < 4 or len(message) < size:
        raise EOFError
    return message


def ask(file: BinaryIO, question: Question, text: str) -> None:
    """Send a question and its text. Raises OSError."""
    outline = _with_texts(question.context, repeat(""))
    _put(file, _pack(msgspec.structs.replace(question, context=outline)))
    for each in (text, *_texts(question.context)):
        for at in range(0, len(each), PIECE):
            _put(file, encodable(each[at : at + PIECE]).encode())
        _put(file)
    file.flush()


def asked(file: BinaryIO) -> tuple[Question, str]:
    """The next question and its text. Raises EOFError, ValueError."""
    question = _questions.decode(receive(file))
    texts = ("".join(piece.decode() for piece in iter(lambda: receive(file), b"")) for _ in count())
    text = next(texts)
    return msgspec.structs.replace(question, context=_with_texts(question.context, texts)), text


def answer(file: BinaryIO, findings: Sequence[Finding], failures: Sequence[Failure]) -> None:
    """Send an answer. Raises OSError."""
    for at in range(0, len(findings), PART):
        send(file, _pack(Part(findings=list(findings[at : at + PART]))))
    send(file, _pack(Part(failures=list(failures))))


def answered(file: BinaryIO) -> tuple[list[Finding], list[Failure]]:
    """Read an answer. Raises EOFError, ValueError (msgspec's errors are such)."""
    findings: list[Finding] = []
    for part in _each_part(file):
        findings += part.findings
        if part.failures is not None:
            return findings, part.failures
    raise EOFError


def _each_part(file: BinaryIO) -> Iterator[Part]:
    while True:
        yield _parts.decode(receive(file))
