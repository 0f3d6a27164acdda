"""What changed from one version to another, said as the kind of asset is thought of. Pure.

Prompts word by word for each message; policies by stage and rule; routes by target; corpora by document; datasets by
case; everything else, and JSON schemas, by path. A change of words carries its pieces.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import Any

from .wording import Piece, pieces

MAX_EDITS = 1_000
_SHOWN = 80
#: What lies deeper than this is compared whole.
_DEEP = 60
_MISSING = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """One difference. ``what`` is added, removed, changed or moved; ``path`` says where, as people name the place."""

    path: str
    what: str
    before: Any = None
    after: Any = None
    words: tuple[Piece, ...] = ()

    @property
    def text(self) -> str:
        """The edit in one line."""
        if self.what == "changed" and not self.words:
            return f"{self.path}: {_shown(self.before)} -> {_shown(self.after)}"
        if self.what == "moved":
            return f"{self.path}: moved from place {self.before} to {self.after}"
        if self.words:
            gone = sum(len(piece.text.split()) for piece in self.words if piece.op == "-")
            new = sum(len(piece.text.split()) for piece in self.words if piece.op == "+")
            return f"{self.path}: {new} words added, {gone} removed"
        value = self.after if self.what == "added" else self.before
        return f"{self.path}: {self.what}" + ("" if value is None else f" {_shown(value)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """All edits, at most a thousand; ``more`` counts those that were left out."""

    edits: tuple[Edit, ...] = ()
    more: int = field(default=0)

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "same": not self.edits,
            "more": self.more,
            "edits": [
                {
                    "path": edit.path,
                    "what": edit.what,
                    "before": edit.before,
                    "after": edit.after,
                    "text": edit.text,
                    "words": [{"op": piece.op, "text": piece.text} for piece in edit.words],
                }
                for edit in self.edits
            ],
        }


def difference(kind: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Difference:
    """What changed between two contents of one kind."""
    found = list(_KINDS.get(kind, _paths)(old, new))
    return Difference(edits=tuple(found[:MAX_EDITS]), more=max(0, len(found) - MAX_EDITS))


def paths(old: Any, new: Any, path: str = "", deep: int = 0) -> Iterator[Edit]:
    """JSON against JSON: paths added, removed and changed. Lists of texts or numbers are compared as sequences, lists
    of objects that have names or ids by those, other lists by position."""
    if old is _MISSING:
        yield Edit(path=path, what="added", after=new)
    elif new is _MISSING:
        yield Edit(path=path, what="removed", before=old)
    elif isinstance(old, Mapping) and isinstance(new, Mapping) and deep < _DEEP:
        for key in dict.fromkeys((*old, *new)):
            yield from paths(old.get(key, _MISSING), new.get(key, _MISSING), _under(path, key), deep + 1)
    elif isinstance(old, list) and isinstance(new, list) and deep < _DEEP:
        yield from _lists(old, new, path, deep + 1)
    elif isinstance(old, str) and isinstance(new, str) and old != new and len(old) + len(new) > _SHOWN:
        yield Edit(path=path, what="changed", before=old, after=new, words=pieces(old, new))
    elif not _same(old, new):
        yield Edit(path=path, what="changed", before=old, after=new)


def _paths(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Edit]:
    return paths(old, new)


def _prompts(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Edit]:
    yield from _messages(_list(old, "messages"), _list(new, "messages"))
    yield from paths(_without(old, "messages"), _without(new, "messages"))


def _messages(old: Sequence[Any], new: Sequence[Any]) -> Iterator[Edit]:
    """Messages that stayed are matched; of those between them, the first of one role is compared with the first."""
    for tag, i1, i2, j1, j2 in SequenceMatcher(None, _keys(old), _keys(new), autojunk=False).get_opcodes():
        if tag == "equal":
            continue
        left, right = list(range(i1, i2)), list(range(j1, j2))
        for i in left:
            j = next((j for j in right if _role(new[j]) == _role(old[i])), None)
            if j is None:
                yield Edit(path=f"messages[{i}] ({_role(old[i])})", what="removed", before=_text(old[i]))
                continue
            right.remove(j)
            yield from _message(old[i], new[j], f"messages[{j}] ({_role(new[j])})")
        for j in right:
            yield Edit(path=f"messages[{j}] ({_role(new[j])})", what="added", after=_text(new[j]))


def _message(old: Any, new: Any, path: str) -> Iterator[Edit]:
    if not isinstance(old, Mapping) or not isinstance(new, Mapping):
        yield from paths(old, new, path)
        return
    before, after = old.get("content"), new.get("content")
    if isinstance(before, str) and isinstance(after, str):
        if before != after:
            yield Edit(path=path, what="changed", before=before, after=after, words=pieces(before, after))
    else:
        yield from paths(before, after, f"{path}.content")
    yield from paths(_without(old, "content"), _without(new, "content"), path)


def _guards(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Edit]:
    before, after = _map(old, "stages"), _map(new, "stages")
    for stage in dict.fromkeys((*before, *after)):
        one, other = before.get(stage, _MISSING), after.get(stage, _MISSING)
        if isinstance(one, list) and isinstance(other, list):
            yield from _named(_with_names(one), _with_names(other), f"{stage} rule", "name")
        else:
            yield from paths(one, other, f"{stage} rules")
    yield from paths(_without(old, "stages"), _without(new, "stages"))


def _with_names(rules: Sequence[Any]) -> list[Any]:
    """The rules of a policy, each with its name: a scanner without one goes by its own."""
    return [
        {"name": rule["scanner"], **rule} if isinstance(rule, Mapping) and "scanner" in rule else rule for rule in rules
    ]


def _routes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Edit]:
    yield from _named(_list(old, "targets"), _list(new, "targets"), "target", "model")
    yield from _named(
        [{"model": model} for model in _list(old, "fallback")],
        [{"model": model} for model in _list(new, "fallback")],
        "fallback", "model",
    )  # fmt: skip
    yield from paths(_without(old, "targets", "fallback"), _without(new, "targets", "fallback"))


def _corpora(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Edit]:
    before = {item.get("id"): item for item in _list(old, "documents")}
    after = {item.get("id"): item for item in _list(new, "documents")}
    for name in dict.fromkeys((*before, *after)):
        path, one, other = f"document {name}", before.get(name), after.get(name)
        if one is None:
            yield Edit(path=path, what="added", after=_document(other))
        elif other is None:
            yield Edit(path=path, what="removed", before=_document(one))
        elif one.get("blob") != other.get("blob"):
            yield Edit(path=path, what="changed", before=_document(one), after=_document(other))
        else:
            yield from paths(_without(one, "updated_ns"), _without(other, "updated_ns"), path)
    yield from paths(_without(old, "documents"), _without(new, "documents"))


def _datasets(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Edit]:
    before, after = _list(old, "cases"), _list(new, "cases")
    named = all(isinstance(case, Mapping) and case.get("id") for case in (*before, *after))
    yield from _named(before, after, "case", "id" if named else "input")
    yield from paths(_without(old, "cases"), _without(new, "cases"))


_KINDS: dict[str, Callable[[Mapping[str, Any], Mapping[str, Any]], Iterator[Edit]]] = {
    "prompts": _prompts,
    "guards": _guards,
    "routes": _routes,
    "corpora": _corpora,
    "datasets": _datasets,
}


def _named(old: Sequence[Any], new: Sequence[Any], what: str, key: str, deep: int = 0) -> Iterator[Edit]:
    """Lists whose items have names: each item by its name, and those that changed places."""
    one, other = _by_key(old, key), _by_key(new, key)
    if one is None or other is None:
        for n in range(max(len(old), len(new))):
            before, after = (side[n] if n < len(side) else _MISSING for side in (old, new))
            yield from paths(before, after, f"{what}[{n}]", deep)
        return
    for name in dict.fromkeys((*one, *other)):
        path = f"{what} {_shown(name) if not isinstance(name, str) else name[:_SHOWN]}"
        before, after = one.get(name), other.get(name)
        if before is None or after is None:
            value = _without(after or before, key) or None
            if before is None:
                yield Edit(path=path, what="added", after=value)
            else:
                yield Edit(path=path, what="removed", before=value)
        else:
            yield from paths(before, after, path, deep)
    stayed = [name for name in one if name in other], [name for name in other if name in one]
    yield from _moves(*stayed, what)


def _moves(old: Sequence[Hashable], new: Sequence[Hashable], what: str) -> Iterator[Edit]:
    """The fewest items that have to be taken for moved."""
    if old == new or len(old) > MAX_EDITS:
        return
    kept = {
        name
        for block in SequenceMatcher(None, old, new, autojunk=False).get_matching_blocks()
        for name in old[block.a : block.a + block.size]
    }
    for place, name in enumerate(new, 1):
        if name not in kept:
            yield Edit(path=f"{what} {name}", what="moved", before=old.index(name) + 1, after=place)


def _lists(old: list[Any], new: list[Any], path: str, deep: int) -> Iterator[Edit]:
    if old == new and json.dumps(old) == json.dumps(new):
        return
    if not any(isinstance(item, Mapping | list) for item in (*old, *new)):
        yield from _sequence(old, new, path)
        return
    for key in ("name", "id"):
        if old and new and _by_key(old, key) is not None and _by_key(new, key) is not None:
            yield from _named(old, new, path, key, deep)
            return
    for n in range(max(len(old), len(new))):
        one, other = (side[n] if n < len(side) else _MISSING for side in (old, new))
        yield from paths(one, other, f"{path}[{n}]", deep)


def _sequence(old: list[Any], new: list[Any], path: str) -> Iterator[Edit]:
    """A list of plain values: which came and which went."""
    if max(len(old), len(new)) > MAX_EDITS:
        yield Edit(path=path, what="changed", before=f"{len(old)} values", after=f"{len(new)} values")
        return
    for tag, i1, i2, j1, j2 in SequenceMatcher(None, _keys(old), _keys(new), autojunk=False).get_opcodes():
        if tag != "equal":
            for n in range(max(i2 - i1, j2 - j1)):
                one, other = old[i1:i2][n : n + 1], new[j1:j2][n : n + 1]
                place = f"{path}[{j1 + n if other else i1 + n}]"
                yield from paths(one[0] if one else _MISSING, other[0] if other else _MISSING, place)


def _by_key(items: Sequence[Any], key: str) -> dict[Any, Mapping[str, Any]] | None:
    """The items by their name; None where one has none, or two share one."""
    found = {item[key]: item for item in items if isinstance(item, Mapping) and isinstance(item.get(key), str)}
    return found if len(found) == len(items) else None


def _keys(items: Sequence[Any]) -> list[str]:
    return [json.dumps(item, sort_keys=True) for item in items]


def _list(content: Mapping[str, Any], key: str) -> list[Any]:
    value = content.get(key)
    return list(value) if isinstance(value, list | tuple) else []


def _map(content: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = content.get(key)
    return value if isinstance(value, Mapping) else {}


def _without(content: Any, *keys: str) -> dict[str, Any]:
    return {key: value for key, value in content.items() if key not in keys} if isinstance(content, Mapping) else {}


def _document(item: Any) -> str:
    return f"{item.get('title') or item.get('id')}, {item.get('words', '?')} words"


def _role(message: Any) -> str:
    return str(message.get("role", "")) if isinstance(message, Mapping) else ""


def _text(message: Any) -> Any:
    return message.get("content") if isinstance(message, Mapping) else message


def _under(path: str, key: Any) -> str:
    return f"{path}.{key}" if path else str(key)


def _same(old: Any, new: Any) -> bool:
    # 1, 1.0 and True are equal to Python and three things in JSON.
    return type(old) is type(new) and bool(old == new)


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
