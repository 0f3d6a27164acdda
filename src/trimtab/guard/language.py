"""Which language a text is in: by its script, and by the small words of languages that share the Latin script."""

# ruff: noqa: E501 - small words as they are listed
from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from trimtab.core import BadInput

from .scanner import Match, Scan, Scanner, refuse_unknown
from .text import Text

_SAMPLE = 20_000
_WORD = re.compile(r"[^\W\d_]+")
_SCRIPTS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("ja", re.compile(r"[\u3040-\u30ff]")),
    ("ko", re.compile(r"[\uac00-\ud7af\u1100-\u11ff]")),
    ("zh", re.compile(r"[\u4e00-\u9fff\u3400-\u4dbf]")),
    ("el", re.compile(r"[\u0370-\u03ff]")),
    ("he", re.compile(r"[\u0590-\u05ff]")),
    ("ar", re.compile(r"[\u0600-\u06ff]")),
    ("hi", re.compile(r"[\u0900-\u097f]")),
    ("bn", re.compile(r"[\u0980-\u09ff]")),
    ("ta", re.compile(r"[\u0b80-\u0bff]")),
    ("th", re.compile(r"[\u0e00-\u0e7f]")),
    ("ka", re.compile(r"[\u10a0-\u10ff]")),
    ("hy", re.compile(r"[\u0530-\u058f]")),
    ("ru", re.compile(r"[\u0400-\u04ff]")),
)
SMALL_WORDS: Mapping[str, frozenset[str]] = {
    code: frozenset(words.split())
    for code, words in {
        "en": "the of and to in is you that it he was for on are with as his they be at this have from or had by not but "
        "what all were we when your can said there use an each which she do how their if will up about please my me",
        "de": "der die das und ist ich nicht ein eine zu den mit sich des auf für von im dem auch es an werden aus er hat "
        "dass sie nach wird bei einer um am sind noch wie einem über bitte mir wir alle kann diese",
        "fr": "le la les de des et est un une en que qui dans pour pas au sur se ne ce il sont avec plus par je vous nous "
        "du mais ou son cette tout être fait mon ton votre toutes moi",
        "es": "el la los las de que y en un una es por con no para su al lo como más pero sus le ya o este sí porque esta "
        "entre cuando muy sin sobre también me hasta hay donde todo todas mi tu",
        "it": "il lo la gli le di che e è un una in per con non si da come del della dei più ma anche sono al alla nel "
        "questo questa ho mi ti tutti tutte sul delle",
        "pt": "o a os as de que e é do da em um uma para com não se na no por mais dos das como mas ao ele ela foi sua seu "
        "isso está você todas todos me meu",
        "nl": "de het een en van ik te dat die in je niet is op aan met als voor er maar om hem dan zou wat mijn ook zijn "
        "naar bij nog deze wordt alle mij geen",
        "sv": "och det att i en jag hon som han på den med var sig för så till är men ett om hade de av icke mig du inte "
        "från alla kan när dina",
        "da": "og i jeg det at en den til er som på de med han af for ikke der var mig sig men et har om vi min havde ham "
        "hun nu fra alle dine",
        "no": "og i jeg det at en et den til er som på de med han av ikke der så var meg seg men ett har om vi min mitt ha "
        "hadde hun nå fra alle dine",
        "fi": "ja on ei se että hän oli ole mutta kun niin minä sinä ovat tämä joka mitä jos vain kuin siitä sen myös ovat "
        "kaikki minun sinun nyt",
        "pl": "i w nie na się z do to że jest o jak a po co tak za od ale przez dla czy by te mi ty jego wszystkie twój mój "
        "są być oraz który",
        "cs": "a se v na je že to s z do o i jako za by tak po jsem ale si ve k pro jsou jeho které všechny tvůj můj",
        "ro": "și de la a în nu este cu pe un o că din pentru ce mai care sunt lui dar se sau toate meu tău",
        "tr": "ve bir bu da de için ile çok ne o ben sen daha gibi var mı olarak ama kadar sonra tüm bana senin nasıl",
        "id": "yang dan di itu dengan untuk tidak ini dari dalam akan pada juga saya ke karena tersebut bisa ada mereka "
        "semua anda",
        "vi": "và của là có không được cho một các trong người với này đã những để khi tôi bạn tất cả",
        "hu": "a az és hogy nem is egy van ezt meg de csak már ha én te mint volt ami minden nekem összes",
    }.items()
}
LANGUAGES = (*SMALL_WORDS, *(code for code, _ in _SCRIPTS), "uk")


def language_of(text: str) -> tuple[str, float]:
    """The likeliest language as an ISO 639-1 code and how sure that is (0 to 1); empty where it cannot be told."""
    sample = text[:_SAMPLE]
    letters = sum(map(str.isalpha, sample))
    if letters < 8 and not any(pattern.search(sample) for _, pattern in _SCRIPTS):
        return "", 0.0
    for code, script in _SCRIPTS:
        share = len(script.findall(sample)) / max(letters, 1)
        if share > (0.1 if code == "ja" else 0.3):
            if code == "ru" and re.search("[іїєґІЇЄҐ]", sample):
                code = "uk"
            return code, min(1.0, 0.5 + share)
    words = [word.lower() for word in _WORD.findall(sample)]
    counts = Counter({code: sum(word in small for word in words) for code, small in SMALL_WORDS.items()})
    (best, most), (_, second) = counts.most_common(2)
    if not words or most == 0:
        return "", 0.0
    share = most / len(words)
    if share < 0.08 or (most == second and most < 3):
        return "", 0.0
    return best, min(1.0, 0.4 + share + 0.1 * (most - second))


def _build(options: Mapping[str, Any]) -> Scan:
    refuse_unknown(options, ("allow", "same"))
    allow = options.get("allow", [])
    same = options.get("same", False)
    if not isinstance(allow, Sequence) or isinstance(allow, str) or not set(allow) <= set(LANGUAGES):
        raise BadInput("must be a list of codes", field="allow", mend=f"Choose from {', '.join(sorted(LANGUAGES))}.")
    if not isinstance(same, bool) or not (allow or same):
        raise BadInput("must be true or false", field="same", mend="Give allow, or same: true.")

    def scan(text: Text) -> Sequence[Match]:
        code, sure = language_of(text.plain.text)
        if not code or code in allow:
            return []
        if same and (not text.context.asked or language_of(text.context.asked)[0] in ("", code)):
            return []
        return [Match(f"language-{code}", 0, len(text.original), sure)]

    return scan


SCANNERS = (
    Scanner(
        name="language",
        stages=("input", "output"),
        description="Languages other than those allowed, or an answer in another language than the question's.",
        build=_build,
        threshold=0.6,
        options={"allow": "ISO 639-1 codes", "same": "true: the language of the question is allowed"},
    ),
)
