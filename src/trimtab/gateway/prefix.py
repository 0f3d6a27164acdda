"""Which target has read the beginning of a prompt before: a hash chain over its blocks, and a bounded memory of them.

An inference server keeps what it computed for the beginning of a prompt, and so does a vendor behind its prompt cache.
Both can only be used again from the first token on, without a gap. So a prompt is cut into blocks of one size, and
each block is named by a hash over itself and everything before it: two prompts that share the name of a block share
the whole beginning up to there. Pure, but for the memory itself.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from trimtab.core import Call

#: Bytes of a block. About 256 tokens of English: an eighth of a usual system prompt, and a quarter of the shortest
#: prompt that vendors cache.
BLOCK = 1024
#: Bytes of a prompt that count as one token where nobody has counted.
BYTES_PER_TOKEN = 4.0
#: Blocks of one prompt that are looked at; what lies behind them cannot change where it is best sent.
LONGEST = 1024

#: The names of a prompt's blocks, first to last. For text they come from ``chain``; a replayed trace brings its own.
Chain = Sequence[Any]


def render(call: Call) -> Iterator[bytes]:
    """The prompt as bytes in the order in which every vendor lays it out: tools, then the messages as they come."""
    tools = call.params.get("tools")
    if tools:
        yield msgspec.json.encode(tools)
    for message in call.messages:
        content = message.get("content")
        yield b"\x1e" + str(message.get("role")).encode("utf-8", "replace") + b"\x1f"
        yield content.encode("utf-8", "replace") if isinstance(content, str) else msgspec.json.encode(content)
        if calls := message.get("tool_calls"):
            yield msgspec.json.encode(calls)


def chain(pieces: Iterable[bytes], block: int = BLOCK, longest: int = LONGEST) -> list[bytes]:
    """The names of the whole blocks in ``pieces``; the rest that fills no block has none, as in a server's cache."""
    text = b"".join(pieces)
    hasher = hashlib.blake2b(digest_size=8)
    names = []
    for start in range(0, min(len(text) // block, longest) * block, block):
        hasher.update(text[start : start + block])
        names.append(hasher.copy().digest())
    return names


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """A prompt as the choice sees it: its chain, its length, and the tokens that one block stands for."""

    blocks: Chain
    tokens: float
    block_tokens: float

    @classmethod
    def of(cls, call: Call, block: int = BLOCK) -> Prompt:
        """The prompt of a call, its tokens estimated from its bytes."""
        pieces = list(render(call))
        size = sum(map(len, pieces))
        return cls(blocks=chain(pieces, block), tokens=size / BYTES_PER_TOKEN, block_tokens=block / BYTES_PER_TOKEN)

    def cached(self, blocks: int) -> float:
        """Tokens that so many known blocks save; the last token of a prompt is always computed."""
        return max(0.0, min(blocks * self.block_tokens, self.tokens - 1))


class PrefixMemory:
    """What each target of one route was last asked to read: at most ``blocks`` names a target, least used out first.

    The names of one prompt are kept so that its end is forgotten before its beginning, as servers evict.
    """

    def __init__(self, blocks: int) -> None:
        self.blocks = blocks
        self._of: dict[str, OrderedDict[Any, None]] = {}

    def known(self, ref: str, names: Chain) -> int:
        """How many leading blocks the target has read before."""
        seen = self._of.get(ref)
        if not seen:
            return 0
        for count, name in enumerate(names):
            if name not in seen:
                return count
        return len(names)

    def remember(self, ref: str, names: Chain) -> None:
        """The target has been asked to read this prompt."""
        seen = self._of.get(ref)
        if seen is None:
            seen = self._of[ref] = OrderedDict()
        for name in reversed(names):
            seen[name] = None
            seen.move_to_end(name)
        while len(seen) > self.blocks:
            seen.popitem(last=False)

    def size(self, ref: str) -> int:
        """How many blocks of the target are remembered."""
        return len(self._of.get(ref, ()))

    def keep_only(self, refs: Iterable[str]) -> None:
        """Forget every target but these."""
        for ref in self._of.keys() - set(refs):
            del self._of[ref]

    def __len__(self) -> int:
        return sum(map(len, self._of.values()))
