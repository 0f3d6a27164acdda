"""What names and sentences say: which effect a tool has, which argument says where to, which sentence gives orders."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Literal

from trimtab.guard.model import model

from .fields import texts_of
from .values import indexed

Effect = Literal["read", "write", "send", "pay", "delete", "run"]
EFFECTS: tuple[Effect, ...] = ("read", "write", "send", "pay", "delete", "run")
#: Effects that carry data or money out, or cannot be undone.
GRAVE = ("send", "pay", "delete", "run")

_VERBS: Mapping[Effect, str] = {
    "delete": "delete remove drop destroy erase wipe purge cancel revoke uninstall truncate terminate kill unshare",
    "pay": "pay transfer wire refund buy purchase order charge withdraw donate deposit",
    "run": "run execute exec eval shell bash command deploy install launch invoke",
    "send": "send email mail message post publish share forward reply upload invite notify tweet submit push sms fax",
    "write": "create add write update set change modify edit append insert schedule reschedule book reserve make save "
    "move rename replace put patch assign register subscribe enable disable reset approve accept grant store import",
    "read": "get read list search find fetch lookup look check show view describe query count calculate compute "
    "download browse open visit ask",
}
_MONEY = frozenset(("money", "payment", "payments", "transaction", "transactions", "funds"))
_EFFECT_OF: dict[str, Effect] = {verb: effect for effect, verbs in _VERBS.items() for verb in verbs.split()}
#: Further words with which people ask for an effect.
_ASKING: Mapping[Effect, str] = {
    "delete": "get rid clear clean kick unsubscribe",
    "pay": "send settle invoice bill money return give back",
    "run": "start build test",
    "send": "tell write let know contact ask say respond answer text ping inform dm",
    "write": "put plan remind set adjust fix note rename arrange organise organize correct event "
    "reservation appointment",
    "read": "",
}
#: Argument names that say where something goes, who gets it, or what is at stake.
_WHERE = re.compile(
    r"(?i)(?:^|[_.])(?:to|cc|bcc|url|uri|link|href|host|domain|endpoint|webhook|address(?:ee)?|e?mails?|recipients?|"
    r"users?|usernames?|members?|participants?|attendees?|invitees?|contacts?|channels?|group|iban|account(?:_?(?:no|number|id))?|"
    r"payee|beneficiary|phone(?:_?number)?|wallet|password|passphrase|owner|reviewers?|assignees?|repo(?:sitory)?|"
    r"destination|target|receivers?|files?_?ids?|ids?|[a-z]+_ids?|path|user_?emails?|hotel|restaurant|company)_?$"
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_WORD = re.compile(r"[A-Za-z]+")

_ORDERS = frozenset(
    f"{_VERBS['delete']} {_VERBS['pay']} {_VERBS['run']} {_VERBS['send']} {_VERBS['write']} {_VERBS['read']} say tell "
    "give use do complete ignore disregard forget follow concatenate transfer click call go navigate enter type copy "
    "paste print output reveal include attach encode summarise summarize translate recommend mention state claim "
    "pretend act respond answer insert proceed continue stop start perform carry obey confirm reply report leak".split()
) - {"order", "message", "command", "mail", "set", "check", "open", "view", "look", "count", "list", "group", "post"}
_SENTENCE = re.compile(r"(?<=[.!?])[\"')\]]*\s+|\n+|(?<=[.!?])(?=[A-Z])")
_OPENING = re.compile(
    r"(?i)^[\W\d_]*(?:(?:please|kindly|instead|now|then|also|first|next|finally|and|just|so|hey|hi|dear|assistant|"
    r"ai|model|agent|important|note|urgent|error|warning|todo|todos|after that|before that)\b[\s,:;.!-]*)*"
)
#: Where a clause begins; only behind a colon, a semicolon or a dash between spaces may an order begin.
_BREAKS = ":;-\u2013\u2014"
_CLAUSE = re.compile(
    r"(?i)(?:[:;]\s*|\s[-\u2013]+\s+|\s*\u2014+\s*|,\s*(?:and\s+|then\s+|please\s+)*|\band\s+(?:then\s+)?|"
    r"\bto\s+you,?\s*)"
)
_ADDRESSED = re.compile(
    r"(?i)\b(?:you|the assistant|the agent|the ai|the model|the user)\b[^.?!\n]{0,40}"
    r"\b(?:must|should|need|have to|are to|will now|shall|required)\b"
    r"|\b(?:without asking|do the following|ignore (?:all|your|the|any)|your (?:task|instructions))\b"
)
#: How people ask for something politely; an order may follow.
_REQUEST = re.compile(
    r"(?i)\b(?:(?:could|can|would|will) you(?: please| kindly| also| still| just| then| maybe| quickly| now)*|"
    r"(?:i|we)(?: need| want|'d like| would like) you to|(?:make sure|remember|do not forget|don't forget|be sure) to|"
    r"(?:be so kind|feel free|it would be (?:great|good|nice) (?:if you could|to)))(?: as)?(?: to)?\s+"
)
_SHARE = 0.5
#: Sentences of one text that are looked at.
_MOST = 4000


@lru_cache(maxsize=2048)
def effect_of(tool: str) -> Effect:
    """The effect that a tool's name tells: by its first verb, and by whether it speaks of money. A name without a verb
    is taken for a writing tool."""
    words = [word.casefold() for word in _WORD.findall(_CAMEL.sub(" ", tool))]
    effect: Effect = next((_EFFECT_OF[word] for word in words if word in _EFFECT_OF), "write")
    return "pay" if effect in ("send", "write") and not _MONEY.isdisjoint(words) else effect


@lru_cache(maxsize=4096)
def says_where(argument: str) -> bool:
    """Whether the name of an argument says where something goes, who gets it, or which thing is meant."""
    return _WHERE.search(_CAMEL.sub("_", argument.split("[", 1)[0])) is not None


def names_a_thing(argument: str) -> bool:
    """Whether an argument names one of the things that a tool keeps: a file or an event by its id or path."""
    return argument.casefold().rstrip("s").endswith(("id", "path"))


def asks_for(text: str, effect: Effect, words: Sequence[str] = ()) -> bool:
    """Whether a text asks for an effect, or says one of these words."""
    wanted = words or (*_VERBS[effect].split(), *_ASKING[effect].split())
    said = indexed(text).words
    return any(_stem(word) in said for word in wanted)


def _stem(word: str) -> str:
    return f" {word.casefold().removesuffix('e')}"


@lru_cache(maxsize=4096)
def gives_orders(sentence: str) -> bool:
    """Whether a sentence tells a reader what to do: it begins with an order, or speaks to an assistant."""
    if len(sentence) > 2000:
        sentence = sentence[:2000]
    start = sentence[_OPENING.match(sentence).end() :]  # type: ignore[union-attr]  # it matches the empty text
    if _order(start) or _ADDRESSED.search(sentence) is not None:
        return True
    if any(_order(sentence[found.end() :]) for found in _CLAUSE.finditer(sentence) if found[0].strip()[:1] in _BREAKS):
        return True
    if any(_order(sentence[found.end() :]) for found in _REQUEST.finditer(sentence)):
        return True
    windows = model("instruction").sentences(sentence, 2000)
    return any(each.probability >= _SHARE for each in windows)


def _order(text: str) -> bool:
    found = _WORD.match(text)
    return (
        found is not None and found[0].casefold() in _ORDERS and text[found.end() : found.end() + 1] in (" ", "", ":")
    )


@lru_cache(maxsize=256)
def sentences(text: str) -> tuple[str, ...]:
    """The sentences of every text of a result."""
    out: list[str] = []
    for each in texts_of(text):
        out += ["", *(part.strip() for part in _SENTENCE.split(each) if part and part.strip())]
        if len(out) > _MOST:
            break
    return tuple(out[:_MOST])


def orders_about(text: str, value: object) -> str:
    """The order in an untrusted text that names a value, empty if there is none.

    The sentence before counts with it: "Send it here. The account is GB29...".
    """
    if not indexed(text).has(value):
        return ""
    every = sentences(text)
    key = max(indexed(str(value)).words.split(), key=len, default="")
    near = [place for place, sentence in enumerate(every) if key in indexed(sentence).plain]
    for place in near or range(len(every)):
        if every[place] and indexed(every[place]).has(value):
            for part in (every[place], every[place - 1] if place else ""):
                if part and gives_orders(part):
                    return part
    return ""
