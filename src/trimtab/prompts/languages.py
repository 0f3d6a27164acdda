"""Which language a text is in, by its script and its commonest words.

A light guess for assertions, not a classifier. It says nothing ("") about texts that are short or mixed; it does not
tell Norwegian from Danish, Ukrainian from other Cyrillic languages without their own letters, nor transliterations.
Code between fences and addresses of the web are left out before it looks.
"""

from __future__ import annotations

import re
from collections import Counter

_NOISE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`|https?://\S+|\[\d{1,3}\]", re.DOTALL)
_WORD = re.compile(r"[^\W\d_]+")
#: Fewest letters of a script, fewest words and fewest common words that say anything.
_LETTERS, _WORDS, _COMMON = 4, 4, 2
#: A text is looked at up to here; more says nothing new.
_ENOUGH = 3_000

_SCRIPTS = (
    ("ja", 0x3040, 0x30FF), ("ko", 0xAC00, 0xD7AF), ("zh", 0x4E00, 0x9FFF), ("el", 0x0370, 0x03FF),
    ("cyrillic", 0x0400, 0x04FF), ("he", 0x0590, 0x05FF), ("arabic", 0x0600, 0x06FF), ("hi", 0x0900, 0x097F),
    ("bn", 0x0980, 0x09FF), ("ta", 0x0B80, 0x0BFF), ("th", 0x0E00, 0x0E7F), ("ka", 0x10A0, 0x10FF),
    ("hy", 0x0530, 0x058F),
)  # fmt: skip
_STOP_WORDS = {
    "en": "the of and to in is that it for was on are as with his they at be this have from or had by but not what all "
    "were we when your can said there use an each which she do how their if will up other about out many then them "
    "you i my does would could should",
    "de": "der die und in den von zu das mit sich des auf für ist im dem nicht ein eine als auch es an werden aus er "
    "hat dass sie nach wird bei einer um am sind noch wie einem über einen so zum war haben nur oder aber vor zur bis "
    "mehr durch man sein wurde ich du wir ihr kann können",
    "fr": "le de la les et des en un une du est que dans qui pour pas au sur se par il plus ce avec ne sont son mais "
    "comme ou si leur y dont cette aux sa ses ces nous vous je elle été être avoir fait votre peut l d qu c n s j",
    "es": "de la que el en y los se del las un por con no una su para es al lo como más o pero sus le ha me si sin "
    "sobre este ya entre cuando todo esta ser son también fue había muy hasta desde usted puede está nos",
    "it": "di che e la il un a per in una è del non sono le da con si dei come al nel alla più anche ma lo della se "
    "gli questo ha i l d dell all nell dalla dello entro dopo mi cosa essere delle dal nella suo sua stato può "
    "questa ci tutti hanno",
    "pt": "de a o que e do da em um para é com não uma os no se na por mais as dos como mas foi ao ele das tem à seu "
    "sua ou ser quando muito há nos já está eu também só pelo pela até isso você pode são",
    "nl": "de het een van en in is dat op te zijn met voor niet aan er om ook als dan maar bij nog uit door naar heeft "
    "hij ze wordt kan je was worden over tot deze die haar zo we had of meer geen zich u kunt",
    "sv": "och i att det som en på är av för med till den har de inte om ett han men var jag från vi så kan man när år "
    "under också efter eller nu sin där vid mot ska skulle du finns alla",
    "da": "og i at det er en på til af den for ikke der som med har de jeg et han var om men vi fra så kan man når år "
    "efter eller nu sin ved blev være skal havde du alle meget hvis også ikke",
    "pl": "w i na z do się nie to jest że o jak za od po przez dla są czy przy oraz ale ich jego być tym co tego może "
    "było już tylko lub które który ma ze także jej bardzo można",
    "cs": "a v se na je že to s z do o i jako za pro ale by jsou k který od ve po jeho aby byl podle při jsem nebo "
    "když co tak být které také může jen však už než této není",
    "tr": "ve bir bu da de için ile olarak çok daha ne gibi olan sonra kadar en o ama var mi ki değil her ya veya "
    "tarafından ise yok göre olduğu şey ben sen biz siz olur",
    "fi": "ja on ei se että hän oli mutta ovat kun niin myös joka tai kuin sen jos ole vain mitä nyt voi hänen olla "
    "siitä tämä ovat jo sekä vuoden mukaan kanssa minä sinä voit",
    "ro": "și în de la cu a o pe nu este un din că pentru care se ce mai sunt prin ca dar au fost sau după lui ei fi "
    "acest această dacă fără are foarte până dumneavoastră poate",
    "hu": "a az és hogy nem is egy ez van volt de meg csak már ha mint el még kell lehet azt vagy ki mert akkor nagyon "
    "minden így most itt ezt sem után között által",
    "id": "yang dan di itu dengan untuk tidak ini dari dalam akan pada juga saya ke karena tersebut bisa ada mereka "
    "lebih kata tahun sudah atau saat oleh menjadi orang adalah anda dapat kami kita",
}  # fmt: skip
#: The languages in which a word is common.
_LANGUAGES_OF: dict[str, tuple[str, ...]] = {}
for _language, _words in _STOP_WORDS.items():
    for _word in dict.fromkeys(_words.split()):
        _LANGUAGES_OF[_word] = (*_LANGUAGES_OF.get(_word, ()), _language)

#: Every language that can be asked for.
LANGUAGES = tuple(sorted((*_STOP_WORDS, "ja", "ko", "zh", "el", "ru", "uk", "he", "ar", "fa", "hi", "bn", "ta", "th",
                          "ka", "hy")))  # fmt: skip


def language_of(text: str) -> str:
    """The language's two letters, or "" when it cannot be told."""
    kept = _NOISE.sub(" ", text[:_ENOUGH])
    if kept.isascii():
        return _by_words(kept)
    letters = [letter for letter in kept if letter.isalpha()]
    scripts = Counter(_script(ord(letter)) for letter in letters)
    script, n = scripts.most_common(1)[0] if scripts else ("", 0)
    if scripts["ja"] and script in ("zh", "ja"):
        script, n = "ja", scripts["ja"] + scripts["zh"]
    if n < _LETTERS or 2 * n < len(letters):
        return ""
    if script == "latin":
        return _by_words(kept)
    if script == "cyrillic":
        return "uk" if any(letter in "іїєґІЇЄҐ" for letter in kept) else "ru"
    if script == "arabic":
        return "fa" if any(letter in "پچژگ" for letter in kept) else "ar"
    return script if script in LANGUAGES else ""


def _script(code: int) -> str:
    if code < 0x0250 or 0x1E00 <= code <= 0x1EFF:
        return "latin"
    return next((name for name, first, last in _SCRIPTS if first <= code <= last), "other")


def _by_words(text: str) -> str:
    words = Counter(_WORD.findall(text.lower()))
    total = words.total()
    if total < _WORDS:
        return ""
    hits: Counter[str] = Counter()
    for word, count in words.items():
        for language in _LANGUAGES_OF.get(word, ()):
            hits[language] += count
    (best, most), (_, second) = (*hits.most_common(2), ("", 0), ("", 0))[:2]
    if most < _COMMON or most < 0.12 * total or most <= 1.15 * second:
        return ""
    return best
