"""Two scanners of content: toxic words said to or about people, and requests for harm.

Toxicity is a lexicon with context: the same word counts more when it is said to somebody ("you are such an idiot") than
when it stands alone. Harm is the light model that also weighs the topics of a conversation; it is a matter of content,
not an attack on the assistant. Figures and limits are in docs/guard-model.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from trimtab.core import BadInput

from .expressions import compiled
from .injection import HEAD, READINGS, loudest
from .scanner import Match, Scan, Scanner, found_in, plain, refuse_unknown
from .text import Text

_INSULTS = (
    "idiots?|morons?|imbeciles?|retard(?:s|ed)?|dumbass(?:es)?|dimwit|halfwit|scum(?:bag)?s?|trash|garbage|"
    "vermin|pigs?|"
    "bitch(?:es)?|bastards?|assholes?|arseholes?|pricks?|dickheads?|wankers?|twats?|cunts?|sluts?|whores?|"
    "losers?|clowns?|"
    "worthless|pathetic|disgusting|stupid|ugly|useless|braindead|subhuman|parasites?|cockroach(?:es)?"
)
_FOUL = (
    "fuck\\w*|motherfuck\\w*|shit\\w*|bullshit|bitch(?:es|ing)?|bastards?|assholes?|arseholes?|dickheads?|"
    "cunts?|wank\\w*|"
    "twats?|cocksuck\\w*|pissed off|goddamn|scheiß\\w*|arschl\\w*|wichser|fotze|hurensohn|mierda|puta|puto|"
    "cabr[oó]n|pendejo|"
    "gilipollas|merde|putain|connard|salope|encul\\w*|cazzo|stronz\\w*|vaffanculo|puttana|caralho|filho da puta|kurwa|"
    "chuj\\w*|сука|блядь|хуй\\w*|пизд\\w*|ебан\\w*|傻逼|操你妈|くそ|ちくしょう|시발|개새끼"
)
_GROUPS = (
    "women|men|girls|blacks?|black people|whites?|white people|asians?|arabs?|jews?|muslims?|christians?|gays?|"
    "lesbians?|"
    "homosexuals?|trans people|immigrants?|migrants?|foreigners?|refugees?|mexicans?|africans?|indians?|gypsies|"
    "disabled people|old people|poor people|ausländer|juden|moslems?|flüchtlinge|inmigrantes|judíos|musulmanes|"
    "étrangers|juifs"
)
_SLURS = (
    "nigg(?:er|a)s?|fagg?ots?|kikes?|chinks?|gooks?|spics?|wetbacks?|tranny|trannies|dykes?|pakis?|ragheads?|"
    "towelheads?|coons?|kanaken?|sandnigg\\w*|untermensch\\w*"
)
_DO = (
    "kill|murder|shoot|stab|hurt|beat|burn|strangle|rape|gut|slaughter|destroy|hang|break|smash|cut|choke|bury|torture"
)
_WILL = (
    r"\b(?:i|we)(?:'ll| will| shall| am going to| are going to|'m going to|'re going to| gonna|'m gonna|'re gonna|"
    r" want to)"
)
_YOURS = (
    "family|kids|children|son|daughter|wife|husband|mother|father|legs?|arms?|neck|bones|fingers|face|teeth|skull|head|"
    "throat|house|home"
)
#: Nouns that are an insult by themselves when they follow "you".
_NAMES = (
    "idiots?|morons?|imbeciles?|retards?|dumbass(?:es)?|dimwit|halfwit|scum(?:bag)?s?|bitch(?:es)?|bastards?|"
    "assholes?|arseholes?|pricks?|dickheads?|wankers?|twats?|cunts?|sluts?|whores?|losers?|"
    "piece of (?:shit|trash|garbage|crap|filth)"
)
#: Each kind with its score and its patterns.
KINDS: Mapping[str, tuple[float, tuple[str, ...]]] = {
    "threat": (
        0.9,
        (
            rf"{_WILL}\s+(?:\w+ )?(?:{_DO})\s+(?:you|him|her|them|(?:your|his|their) (?:{_YOURS}))\b",
            rf"{_WILL}\s+(?:come (?:over )?(?:and|to)|(?:come for|find|catch) you and|hunt you down and)\s+"
            rf"(?:{_DO})\b",
            r"\b(?:(?:kill|hang|shoot|drown) yourself|end your (?:own )?life|slit your (?:wrists|throat)|drink bleach|"
            r"jump off a (?:bridge|roof|cliff)|(?:nobody|no one) (?:will|would) miss you|the world (?:is|would be) "
            r"better (?:off )?without you|go (?:and )?die|kys|"
            r"you (?:should|must|deserve to) (?:die|be (?:shot|killed|hanged))|"
            r"i hope you (?:die|get (?:cancer|raped|killed)))\b",
            r"\b(?:ich bring(?:e)? dich um|te voy a matar|je vais te tuer|ti ammazzo|vou te matar|я тебя убью)\b",
        ),
    ),
    "identity-attack": (
        0.85,
        (
            rf"\b(?:{_SLURS})\b",
            rf"\b(?:all |those |these |fucking |dirty |filthy )?(?:{_GROUPS})\s+(?:are|is|sind|son|"
            rf"sont)\s+(?:all |just |nothing but |a bunch of )?"
            rf"(?:\w+ )?(?:{_INSULTS}|animals|criminals|thieves|inferior|monkeys|rats|evil|dirty|filth|"
            rf"a plague|a disease)\b",
            r"\b(?:those|these|such|that kind of) people are (?:all |just |nothing but )?(?:subhuman|animals|vermin|"
            r"scum|parasites|filth|cockroaches|savages|rats)\b",
            rf"\b(?:the )?(?:{_GROUPS})\s+(?:control|run|own|rule)\s+"
            r"(?:everything|the (?:banks|media|world|government))\b",
            rf"\b(?:{_GROUPS})\s+(?:must|should) (?:all )?be "
            r"(?:stopped|exterminated|removed|deported|gassed|shot|killed)\b",
            rf"\b(?:i hate|kill all|gas the|deport all|exterminate (?:all |the )?)\s*(?:the |all |these |"
            rf"those )?(?:{_GROUPS})\b",
        ),
    ),
    "insult": (
        0.75,
        (
            rf"\byou(?:'re| are|r)?\s+(?:\w+ ){{0,3}}(?:{_INSULTS})\b",
            rf"\b(?:you|what (?:a|an)|such (?:a|an)) (?:(?:fucking|stupid|dumb|damn|ugly|filthy|dirty|little|worthless|"
            rf"total|complete|utter|absolute|pathetic|lying|fat) ){{0,3}}(?:{_NAMES})\b",
            rf"\b(?:he|she|they|he's|she's|they're)\s+(?:is |are )?(?:such |a |an |a total |a complete |"
            rf"fucking ){{1,3}}(?:{_INSULTS})\b",
            r"\b(?:shut (?:the fuck )?up|fuck (?:you|off)|screw you|go to hell|piss off|halt die fresse|"
            r"cállate|ta gueule|nobody (?:likes|loves) you)\b",
            r"\bdu (?:bist )?(?:so )?(?:ein(?:e)? )?(?:(?:dumm|blöd|verdammt|mies|dreckig)(?:e|er|es) )?"
            r"(?:idiot|arschloch|schlampe|hurensohn|wichser|trottel|depp|missgeburt)\b",
            r"\b(?:eres|sos|tu es|sei|você é|t'es) (?:un |una |une |um |uma )?(?:gros |grosse |sale )?"
            r"(?:idiota|idiot|imb[ée]cil\w*|est[úu]pid\w*|connard|salope|stronz\w*|cabr[oó]n|gilipollas|pendejo|"
            r"hij[oa] de (?:puta|perra)|filh[oa] da puta|figlio di puttana|crétin|abruti)\b",
            r"\bespèce d(?:e |')(?:con|conne|connard|salope|idiot|abruti|ordure)\b",
        ),
    ),
    "sexual": (
        0.6,
        (
            r"\b(?:suck my (?:dick|cock)|send (?:me )?nudes|show me your (?:tits|boobs|pussy|dick)|i want to fuck you|"
            r"send (?:me )?(?:a |an |your |some )?(?:naked|nude|dirty|topless) (?:pictures?|photos?|pics?|selfies?)|"
            r"touch your (?:body|breasts|thighs|ass)|(?:undress|lick|grope|spank) you\b|sit on my (?:face|lap)|"
            r"wanna fuck|cum (?:on|in) (?:my|your)|ride my (?:dick|cock))\b",
        ),
    ),
    "profanity": (0.4, (rf"\b(?:{_FOUL})\b|傻逼|操你妈|くそ|시발|개새끼",)),
}
_COMPILED = {
    kind: (score, [compiled(f"(?i){pattern}") for pattern in patterns]) for kind, (score, patterns) in KINDS.items()
}
#: Matches of one text at most, and characters of it that are searched.
MOST, CHARACTERS = 50, HEAD


def toxic(kinds: Sequence[str]) -> Callable[[str], list[Match]]:
    """Finds toxic words of these kinds in the text of one reading."""

    def find(text: str) -> list[Match]:
        found: list[Match] = []
        for kind in kinds:
            score, patterns = _COMPILED[kind]
            for pattern in patterns:
                for match in pattern.finditer(text[:CHARACTERS]):
                    if len(found) >= MOST:
                        return found
                    found.append(Match(kind, match.start(), match.end(), score))
        return found

    return find


def _build(options: Mapping[str, Any]) -> Scan:
    refuse_unknown(options, ("kinds",))
    kinds = options.get("kinds", list(KINDS))
    if not isinstance(kinds, Sequence) or isinstance(kinds, str) or not kinds or not set(kinds) <= set(KINDS):
        raise BadInput("must be a list of kinds", field="kinds", mend=f"Choose from {', '.join(KINDS)}.")
    find = toxic(list(kinds))
    return lambda text: found_in(text, find)


def _harm(text: Text) -> list[Match]:
    """The stretch of the text that most asks for harm."""
    scored = [(*loudest(reading.text, "harm"), reading) for reading in text.readings[:READINGS]]
    best, shift, reading = max(scored, key=lambda each: each[0].logit)
    if best.end <= best.start:
        return []
    start, end = reading.spot(best.start + shift, best.end + shift)
    return [Match("harm", start, end, round(best.probability, 4), "it asks for harm", reading.how)]


SCANNERS = (
    Scanner(
        name="toxicity",
        stages=("input", "output"),
        description="Threats, attacks on groups, insults, sexual advances, foul words.",
        build=_build,
        threshold=0.6,
        longest=400,
        options={"kinds": f"which of {', '.join(KINDS)}; all of them without it"},
    ),
    Scanner(
        name="harm",
        stages=("input", "output"),
        description="It asks for help with something harmful.",
        build=plain(_harm),
        cost="some",
    ),
)
