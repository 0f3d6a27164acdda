"""The moves of an attack over several turns: handing over pieces, asking to join them, pulling towards detail."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from .expressions import Screen, compiled

#: Pieces of one message, and quotations, at most.
MOST = 24
_QUOTE = r"[\"'\x{201c}\x{201d}\x{201e}\x{2018}\x{2019}\x{ab}\x{bb}\x{300c}\x{300d}`]"
_NOT_QUOTE = r"[^\"\x{201c}\x{201d}\x{201e}\x{ab}\x{bb}\x{300c}\x{300d}\n]"
_NAMED = compiled(
    rf"(?i)([$%{{<\[]{{0,2}}\b[a-z_]\w{{0,20}}\b[%}}>\]]{{0,2}})\s{{0,3}}"
    rf"(?::=|=|:|\bbe\b|\bis\b|\bequals\b|\bstands for\b|\bmeans\b|\bholds\b|\bto\b|\bas\b|->)\s{{0,3}}"
    rf"{_QUOTE}({_NOT_QUOTE}{{1,400}}?){_QUOTE}"
)
_NUMBERED = compiled(
    r"(?im)\b(?:part|piece|chunk|fragment|segment|half|section|string|token|block|teil|parte|partie|deel|часть)\s{0,2}"
    r"(?:#|no\.?|number|nr\.?)?\s{0,2}(\d{1,2}|[a-h]|one|two|three|four|five|six)(?:\s?(?:of|/|von|"
    r"de)\s?\w{1,6})?\s{0,2}"
    r"(?::|=|-|is\b|ist\b|es\b|est\b)\s{0,3}([^\n]{1,400})"
)
_ORDINAL = compiled(
    r"(?i)\b(first|second|third|fourth|fifth|next|last|final)\s(?:part|piece|half|chunk|fragment|word|phrase|"
    r"bit|section)"
    r"\s{0,2}(?:of [\w ]{1,30})?(?::|=|is\b|are\b)\s{0,3}([^\n]{1,400})"
)
_KEEP = compiled(
    rf"(?i)\b(?:remember|store|keep|save|note|memori[sz]e|hold|merke?|recuerda|retiens)\b[^\n\"']{{0,40}}"
    rf"{_QUOTE}({_NOT_QUOTE}{{1,400}}?){_QUOTE}"
)
_QUOTED = compiled(rf"{_QUOTE}({_NOT_QUOTE}{{3,300}}?){_QUOTE}")
_JOIN = compiled(
    r"(?i)\b(?:join|combin\w*|concat\w*|merg\w*|assembl\w*|append|glue|stitch|chain|piece|link|splice|reassembl\w*|"
    r"put\b[^.\n]{0,40}\btogether|in (?:this |that |the right |the given )?order|one after (?:the )?other|one sentence|"
    r"füge\b[^.\n]{0,40}\bzusammen|verbinde|une\b|junta\w*|combina\w*|assemble|réunis|unisci|объедини\w*|соедини\w*)\b"
    r"|\b[a-z]\w{0,8}\s?\+\s?[a-z]\w{0,8}\b|(?:\{\w{1,12}\}\s?){2}|拼接|合并|连接|つなげ|結合|합쳐"
)
_NAMES = re.compile(r"\w+")
#: Whether a message hands over pieces at all, and how: one pass.
_HANDED = Screen([_NAMED.pattern, _NUMBERED.pattern, _ORDINAL.pattern, _KEEP.pattern])
#: What pulls a conversation towards practice, each with its weight.
_PULLS: Sequence[tuple[str, float]] = tuple(
    (f"(?i){pattern}", weight)
    for pattern, weight in (
        (
            r"\b(?:go|dig|dive|delve)\b[^.\n]{0,12}\bdeeper\b|\bin (?:more|greater) (?:depth|detail)\b|"
            r"\bmore (?:concrete |specific )?details?\b",
            1.0,
        ),
        (
            r"\b(?:elaborat|expand|flesh)\w*\b|\bcontinue (?:with|the|on)\b|\bwrite (?:the )?(?:next|more)\b|"
            r"\bkeep going\b",
            0.7,
        ),
        (
            r"\b(?:be|more|as) (?:\w+ (?:and )?)?(?:specific|concrete|practical|explicit|precise|realistic|"
            r"technical)\b",
            1.0,
        ),
        (
            r"\bstep[- ]by[- ]step\b|\beach step\b|\bthe (?:exact )?steps\b|\bwalk me through\b|"
            r"\bschritt für schritt\b|\bpaso a paso\b|\bétape par étape\b|\bpasso a passo\b",
            1.0,
        ),
        (
            r"\bhow (?:\w+ )?(?:people|they|he|she|someone|one|those|criminals|it)\b[^.\n]{0,12}\b(?:actually|"
            r"really|did|does|do|made|was done|managed)\b",
            0.9,
        ),
        (
            r"\b(?:quoting|listing|with|name|show|describe|include|about) (?:\w+ )?(?:the |their |those |"
            r"all )?(?:methods?|techniques?|materials|ingredients|tools|quantities|recipes?|instructions)\b",
            0.9,
        ),
        (
            r"\b(?:practical|real|actual|usable|working|plain|modern|actionable|hands-on|"
            r"technical) (?:\w+ )?(?:version|guide|manual|instructions|recipe|example|use|list|plan|steps)\b",
            1.2,
        ),
        (
            r"\b(?:using|based on|from|out of) (?:only )?(?:that|this|it|what you|the (?:article|story|text|"
            r"above))\b[^.\n]{0,25}\b(?:wrote|said|gave|told|described)?\b",
            0.8,
        ),
        (r"\b(?:turn|convert|rewrite|make|transform) (?:that|this|it|the \w+)\b[^.\n]{0,20}\b(?:into|as|a)\b", 0.7),
        (
            r"\b(?:in practice|in real life|nowadays|today|for real|without the (?:story|fiction)|"
            r"outside the story|drop the (?:story|fiction))\b",
            0.6,
        ),
        (r"\b(?:second|first|third|last|other|middle) (?:topic|part|theme|element|point)\b", 0.5),
        (r"\b(?:staying?|remain) in (?:the )?(?:story|character|role)\b|\bas (?:the|that) character\b", 0.3),
        (
            r"\b(?:genauer|ausführlicher|konkreter|más detalle|más concreto|plus de détails|plus précis|"
            r"più dettagli|подробнее|конкретнее)\b|更详细|更具体|もっと詳しく|더 자세히",
            1.0,
        ),
    )
)
_PULLING = Screen([pattern for pattern, _ in _PULLS])


def pieces(text: str) -> Iterator[tuple[str, str]]:
    """The pieces that a message hands over, by name, in the order of the text."""
    ways = _HANDED.which(text)
    if not ways:
        return
    found: list[tuple[int, str, str]] = []
    for number, (kind, pattern) in enumerate((("", _NAMED), ("part ", _NUMBERED), ("part ", _ORDINAL))):
        for match in pattern.finditer(text) if number in ways else ():
            found.append((match.start(2), f"{kind}{match.group(1).strip('${}<>[]% ').lower()}", match.group(2)))
    taken = {start for start, _name, _piece in found}
    for match in _KEEP.finditer(text):
        if match.start(1) not in taken:
            found.append((match.start(1), f"kept {match.group(1)[:40]}", match.group(1)))
    for _start, name, piece in sorted(found)[:MOST]:
        yield name, piece.strip().strip("\"'\u201c\u201d`., ")


def quotations(text: str) -> list[str]:
    """What a message quotes."""
    return [match.group(1) for match in _QUOTED.finditer(text)][:MOST]


def asks_to_join(text: str) -> bool:
    """Whether a message asks to put pieces together."""
    return _JOIN.search(text) is not None


def orders(text: str, named: Mapping[str, str]) -> Iterator[list[str]]:
    """The pieces in the order in which the message names them, and from the last to the first."""
    said = [word.lower() for word in _NAMES.findall(text)]
    order = [named[name] for name in said if name in named]
    if len(order) > 1:
        yield order[:MOST]
    yield list(named.values())[::-1]


def pull(text: str) -> float:
    """How much a message pulls towards practical detail, from 0 to 3."""
    return min(3.0, sum((_PULLS[number][1] for number in _PULLING.which(text)), 0.0))
