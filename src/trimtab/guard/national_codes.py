"""Check digits of further national identifiers; ``identifiers`` has the others. Characters without separators."""

from __future__ import annotations

from trimtab.core.checksums import luhn

from .identifiers import day_exists, iso_7064_11_10, weighed


def th_national(text: str) -> bool:
    """A Thai identification number: modulus 11 (Bureau of Registration Administration)."""
    return text[0] != "0" and (11 - weighed(text[:12], range(13, 1, -1)) % 11) % 10 == int(text[12])


def hk_identity(text: str) -> bool:
    """A Hong Kong identity card: letters count from A = 10, a single one stands after a blank (36); modulus 11."""
    letters = "".join(sign for sign in text[:2] if sign.isalpha())
    first = [36, *(ord(letter) - 55 for letter in letters)][-2:]
    total = 9 * first[0] + 8 * first[1] + weighed(text[len(letters) : -1], range(7, 1, -1))
    return (total + (10 if text[-1] == "A" else int(text[-1]))) % 11 == 0


def gr_amka(text: str) -> bool:
    """A Greek AMKA: Luhn, a date inside."""
    return luhn(text) and day_exists(text[:2], text[2:4])


def hr_oib(text: str) -> bool:
    """A Croatian OIB: ISO 7064, modulus 11, 10."""
    return iso_7064_11_10(text)


def jmbg(text: str) -> bool:
    """A JMBG or EMŠO of Serbia, Slovenia and their neighbours: modulus 11, a date inside."""
    rest = 11 - weighed(text[:12], (7, 6, 5, 4, 3, 2) * 2) % 11
    return rest != 10 and rest % 11 % 10 == int(text[12]) and day_exists(text[:2], text[2:4])


def baltic(text: str) -> bool:
    """An Estonian or Lithuanian personal code: modulus 11 in two goes, a date inside."""
    rest = weighed(text[:10], (1, 2, 3, 4, 5, 6, 7, 8, 9, 1)) % 11
    if rest == 10:
        rest = weighed(text[:10], (3, 4, 5, 6, 7, 8, 9, 1, 2, 3)) % 11 % 10
    return rest == int(text[10]) and day_exists(text[5:7], text[3:5])


def hu_taj(text: str) -> bool:
    """A Hungarian TAJ number: 3 and 7 in turns, modulus 10."""
    return weighed(text[:8], (3, 7) * 4) % 10 == int(text[8]) and len(set(text)) > 1


def ua_tax(text: str) -> bool:
    """A Ukrainian tax number (RNOKPP): modulus 11."""
    return weighed(text[:9], (-1, 5, 7, 9, 4, 6, 10, 5, 7)) % 11 % 10 == int(text[9])


def id_nik(text: str) -> bool:
    """An Indonesian NIK: a birthday inside, whose day is 40 higher for a woman. It has no check digit."""
    day = int(text[6:8])
    return day_exists(str(day - 40 if day > 40 else day), text[8:10]) and len(set(text)) > 4


def my_nric(text: str) -> bool:
    """A Malaysian identity card number: a birthday first. It has no check digit."""
    return day_exists(text[4:6], text[2:4])
