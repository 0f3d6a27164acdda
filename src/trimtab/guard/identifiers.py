"""Check digits: whether a number or code is a possible card, account or national identifier.

Each check takes the characters without separators, in capitals. The rules are those that the issuers publish; the
source is named with each family.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from datetime import date

from trimtab.core.checksums import luhn

Check = Callable[[str], bool]

_LETTERS_DNI = "TRWAGMYFPDXBNJZSQVHLCKE"
_VERHOEFF_D = (
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9), (1, 2, 3, 4, 0, 6, 7, 8, 9, 5), (2, 3, 4, 0, 1, 7, 8, 9, 5, 6),
    (3, 4, 0, 1, 2, 8, 9, 5, 6, 7), (4, 0, 1, 2, 3, 9, 5, 6, 7, 8), (5, 9, 8, 7, 6, 0, 4, 3, 2, 1),
    (6, 5, 9, 8, 7, 1, 0, 4, 3, 2), (7, 6, 5, 9, 8, 2, 1, 0, 4, 3), (8, 7, 6, 5, 9, 3, 2, 1, 0, 4),
    (9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
)  # fmt: skip
_VERHOEFF_P = (
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9), (1, 5, 7, 6, 2, 8, 3, 0, 9, 4), (5, 8, 0, 3, 7, 9, 6, 1, 4, 2),
    (8, 9, 1, 6, 0, 4, 3, 5, 2, 7), (9, 4, 5, 3, 1, 2, 6, 8, 7, 0), (4, 2, 8, 6, 5, 7, 3, 9, 0, 1),
    (2, 7, 9, 3, 8, 0, 6, 4, 1, 5), (7, 0, 4, 6, 9, 1, 3, 2, 5, 8),
)  # fmt: skip


def card(text: str) -> bool:
    """A payment card: Luhn, and a length that the issuer's range has (ISO/IEC 7812)."""
    size = len(text)
    if not luhn(text) or len(set(text)) < 2:
        return False
    two, four = int(text[:2]), int(text[:4])
    if text[0] == "4":
        return size in (13, 16, 19)
    if 51 <= two <= 55 or 2221 <= four <= 2720:
        return size == 16
    if two in (34, 37):
        return size == 15
    if two in (30, 36, 38, 39):
        return 14 <= size <= 19
    if two == 35:
        return 16 <= size <= 19
    if four in (1800, 2131):
        return size == 15
    if 2200 <= four <= 2204:
        return 16 <= size <= 19
    return 12 <= size <= 19 and (two in (50, 56, 57, 58, 60, 81) or text[0] == "6")


def us_ssn(text: str) -> bool:
    """A US social security number: no area 000, 666 or 9xx, no zero group or serial (SSA)."""
    return text[:3] not in ("000", "666") and text[0] != "9" and text[3:5] != "00" and text[5:] != "0000"


def us_itin(text: str) -> bool:
    """A US individual taxpayer number: 9xx with a group that the IRS gives out."""
    group = int(text[3:5])
    return text[0] == "9" and (50 <= group <= 65 or 70 <= group <= 88 or 90 <= group <= 92 or 94 <= group <= 99)


def us_npi(text: str) -> bool:
    """A US national provider identifier: Luhn with the prefix 80840."""
    return text[0] in "12" and luhn("80840" + text)


def us_routing(text: str) -> bool:
    """A US bank routing number (ABA)."""
    return weighed(text, (3, 7, 1, 3, 7, 1, 3, 7, 1)) % 10 == 0 and text[:2] <= "32" and text != "000000000"


def uk_nhs(text: str) -> bool:
    """A UK National Health Service number: modulus 11."""
    rest = 11 - weighed(text[:9], range(10, 1, -1)) % 11
    return rest != 10 and rest % 11 == int(text[9]) and len(set(text)) > 2


def uk_nino(text: str) -> bool:
    """A UK national insurance number: prefixes that are never given out are refused (HMRC)."""
    return (
        text[:2] not in ("BG", "GB", "KN", "NK", "NT", "TN", "ZZ")
        and text[0] not in "DFIQUV"
        and text[1] not in "DFIOQUV"
    )


def de_tax(text: str) -> bool:
    """A German tax identifier: one digit two or three times, ISO 7064 MOD 11,10."""
    counts = [text[:10].count(digit) for digit in set(text[:10])]
    return text[0] != "0" and max(counts) in (2, 3) and iso_7064_11_10(text)


def fr_nir(text: str) -> bool:
    """A French social security number: key 97 - n mod 97 (INSEE)."""
    number = text[:13].replace("2A", "19").replace("2B", "18")
    return text[0] in "12378" and number.isdigit() and 97 - int(number) % 97 == int(text[13:])


def es_dni(text: str) -> bool:
    """A Spanish DNI or NIE: letter by the remainder modulo 23."""
    number = text[:-1].replace("X", "0").replace("Y", "1").replace("Z", "2")
    return number.isdigit() and _LETTERS_DNI[int(number) % 23] == text[-1]


def it_fiscal_code(text: str) -> bool:
    """An Italian fiscal code: odd and even weights modulo 26 (D.M. 23/12/1976)."""
    odd = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23)
    total = 0
    for position, letter in enumerate(text[:15]):
        value = int(letter) if letter.isdigit() else ord(letter) - 65
        total += value if position % 2 else odd[value]
    return total % 26 == ord(text[15]) - 65


def nl_bsn(text: str) -> bool:
    """A Dutch citizen service number: the eleven test."""
    return weighed(text, (9, 8, 7, 6, 5, 4, 3, 2, -1)) % 11 == 0 and len(set(text)) > 2


def be_national(text: str) -> bool:
    """A Belgian national number: 97 - n mod 97, with a 2 before it for those born since 2000."""
    check = int(text[9:])
    return check in (97 - int(text[:9]) % 97, 97 - int("2" + text[:9]) % 97) and day_exists(text[4:6], text[2:4])


def pt_nif(text: str) -> bool:
    """A Portuguese tax number: modulus 11."""
    rest = 11 - weighed(text[:8], range(9, 1, -1)) % 11
    return text[0] in "1235689" and (0 if rest > 9 else rest) == int(text[8])


def pl_pesel(text: str) -> bool:
    """A Polish PESEL: weights 1 3 7 9, a date inside."""
    month = int(text[2:4]) % 20
    return weighed(text[:10], (1, 3, 7, 9) * 3) % 10 == (10 - int(text[10])) % 10 and day_exists(
        text[4:6], f"{month:02}"
    )


def se_personal(text: str) -> bool:
    """A Swedish personal number: Luhn over ten digits, a date inside (coordination numbers add 60 to the day)."""
    ten = text[-10:]
    return luhn(ten) and day_exists(f"{int(ten[4:6]) % 60:02}", ten[2:4])


def fi_hetu(text: str) -> bool:
    """A Finnish personal identity code: character by the remainder modulo 31."""
    number = int(text[:6] + text[7:10])
    return "0123456789ABCDEFHJKLMNPRSTUVWXY"[number % 31] == text[10] and day_exists(text[:2], text[2:4])


def no_birth_number(text: str) -> bool:
    """A Norwegian birth number: two modulus 11 digits."""
    one = -weighed(text[:9], (3, 7, 6, 1, 8, 9, 4, 5, 2)) % 11
    two = -weighed(text[:10], (5, 4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11
    return one == int(text[9]) and two == int(text[10]) and day_exists(f"{int(text[:2]) % 40:02}", text[2:4])


def dk_cpr(text: str) -> bool:
    """A Danish CPR number: a date (its check digit is no longer kept)."""
    return day_exists(text[:2], text[2:4])


def ch_ahv(text: str) -> bool:
    """A Swiss social insurance number: EAN-13 with 756 in front."""
    return text.startswith("756") and _ean(text)


def at_svnr(text: str) -> bool:
    """An Austrian social insurance number: modulus 11 in the fourth place."""
    rest = weighed(text[:3] + text[4:], (3, 7, 9, 5, 8, 4, 2, 1, 6)) % 11
    return text[0] != "0" and rest == int(text[3])


def br_cpf(text: str) -> bool:
    """A Brazilian CPF: two modulus 11 digits."""
    if len(set(text)) == 1:
        return False
    one = weighed(text[:9], range(10, 1, -1)) * 10 % 11 % 10
    two = weighed(text[:10], range(11, 1, -1)) * 10 % 11 % 10
    return text[9:] == f"{one}{two}"


def br_cnpj(text: str) -> bool:
    """A Brazilian CNPJ: two modulus 11 digits."""
    weights = (6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2)
    digits = []
    for size in (12, 13):
        rest = weighed(text[:size], weights[13 - size :]) % 11
        digits.append(str(0 if rest < 2 else 11 - rest))
    return len(set(text)) > 1 and text[12:] == "".join(digits)


def cl_rut(text: str) -> bool:
    """A Chilean RUT: modulus 11 with K for ten."""
    total = sum(int(digit) * (2 + n % 6) for n, digit in enumerate(reversed(text[:-1])))
    return "0K987654321"[total % 11] == text[-1]


def ar_cuit(text: str) -> bool:
    """An Argentine CUIT or CUIL: modulus 11."""
    rest = 11 - weighed(text[:10], (5, 4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11
    return (
        rest != 10 and rest % 11 == int(text[10]) and text[:2] in ("20", "23", "24", "25", "26", "27", "30", "33", "34")
    )


def mx_curp(text: str) -> bool:
    """A Mexican CURP: modulus 10 over its own alphabet."""
    alphabet = "0123456789ABCDEFGHIJKLMNÑOPQRSTUVWXYZ"
    total = sum(alphabet.index(letter) * (18 - n) for n, letter in enumerate(text[:17]))
    return str(-total % 10) == text[17]


def in_aadhaar(text: str) -> bool:
    """An Indian Aadhaar number: Verhoeff."""
    check = 0
    for position, digit in enumerate(reversed(text)):
        check = _VERHOEFF_D[check][_VERHOEFF_P[position % 8][int(digit)]]
    return check == 0 and text[0] not in "01"


def cn_resident(text: str) -> bool:
    """A Chinese resident identity number: ISO 7064 MOD 11-2 (GB 11643)."""
    rest = weighed(text[:17], (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)) % 11
    return "10X98765432"[rest] == text[17] and day_exists(text[12:14], text[10:12])


def jp_my_number(text: str) -> bool:
    """A Japanese individual number: modulus 11."""
    rest = weighed(text[:11], (6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11
    return int(text[11]) == (0 if rest < 2 else 11 - rest)


def kr_resident(text: str) -> bool:
    """A Korean resident registration number: modulus 11, a date inside."""
    rest = weighed(text[:12], (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)) % 11
    return (11 - rest) % 10 == int(text[12]) and day_exists(text[4:6], text[2:4])


def tw_national(text: str) -> bool:
    """A Taiwanese identity number."""
    place = "ABCDEFGHJKLMNPQRSTUVXYWZIO".index(text[0]) + 10
    return (place // 10 + place % 10 * 9 + weighed(text[1:9], range(8, 0, -1)) + int(text[9])) % 10 == 0


def sg_nric(text: str) -> bool:
    """A Singaporean NRIC or FIN: weights modulo 11."""
    total = weighed(text[1:8], (2, 7, 6, 5, 4, 3, 2)) + {"T": 4, "G": 4, "M": 3}.get(text[0], 0)
    letters = {"S": "JZIHGFEDCBA", "T": "JZIHGFEDCBA", "F": "XWUTRQPNMLK", "G": "XWUTRQPNMLK", "M": "XWUTRQPNJLK"}
    position = total % 11
    return letters[text[0]][position if text[0] != "M" else 10 - position] == text[8]


def au_tfn(text: str) -> bool:
    """An Australian tax file number: modulus 11."""
    return weighed(text, (1, 4, 3, 7, 5, 8, 6, 9, 10)) % 11 == 0


def au_medicare(text: str) -> bool:
    """An Australian Medicare number: modulus 10 in the ninth place."""
    return text[0] in "23456" and weighed(text[:8], (1, 3, 7, 9, 1, 3, 7, 9)) % 10 == int(text[8])


def ca_sin(text: str) -> bool:
    """A Canadian social insurance number: Luhn, no leading 0 or 8."""
    return text[0] not in "08" and luhn(text)


def za_id(text: str) -> bool:
    """A South African identity number: Luhn, a date inside."""
    return luhn(text) and day_exists(text[4:6], text[2:4]) and text[10] in "012"


def tr_identity(text: str) -> bool:
    """A Turkish identity number: two digits over odd and even places."""
    digits = [int(letter) for letter in text]
    ten = (sum(digits[0:9:2]) * 7 - sum(digits[1:8:2])) % 10
    return text[0] != "0" and ten == digits[9] and sum(digits[:10]) % 10 == digits[10]


def il_identity(text: str) -> bool:
    """An Israeli identity number: Luhn over nine digits."""
    return luhn(text) and text != "000000000"


def ro_cnp(text: str) -> bool:
    """A Romanian CNP: modulus 11, a date inside."""
    rest = weighed(text[:12], (2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9)) % 11
    return (1 if rest == 10 else rest) == int(text[12]) and day_exists(text[5:7], text[3:5])


def cz_birth_number(text: str) -> bool:
    """A Czech or Slovak birth number of ten digits: divisible by eleven, a date inside."""
    month = int(text[2:4]) % 50 % 20
    return int(text) % 11 == 0 and day_exists(text[4:6], f"{month:02}")


def bg_egn(text: str) -> bool:
    """A Bulgarian EGN: modulus 11, a date inside."""
    month = int(text[2:4]) % 20
    rest = weighed(text[:9], (2, 4, 8, 5, 10, 9, 7, 3, 6)) % 11 % 10
    return rest == int(text[9]) and day_exists(text[4:6], f"{month:02}")


def ru_snils(text: str) -> bool:
    """A Russian SNILS: weighted sum modulo 101."""
    return weighed(text[:9], range(9, 0, -1)) % 101 % 100 == int(text[9:])


def ie_pps(text: str) -> bool:
    """An Irish PPS number: modulus 23."""
    total = weighed(text[:7], range(8, 1, -1)) + (9 * (ord(text[8]) - 64) if len(text) > 8 and text[8] != "W" else 0)
    return "WABCDEFGHIJKLMNOPQRSTUV"[total % 23] == text[7]


def bitcoin(text: str) -> bool:
    """A Bitcoin address in Base58Check: four bytes of a double SHA-256."""
    number = 0
    for letter in text:
        value = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz".find(letter)
        if value < 0:
            return False
        number = number * 58 + value
    if number >= 1 << 200:
        return False
    data = number.to_bytes(25, "big")
    return hashlib.sha256(hashlib.sha256(data[:21]).digest()).digest()[:4] == data[21:]


def weighed(digits: str, weights: Iterable[int]) -> int:
    """The sum of the digits, each times its weight."""
    return sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=False))


def iso_7064_11_10(text: str) -> bool:
    """Whether the last digit is the check digit of ISO 7064, modulus 11, 10."""
    product = 10
    for digit in text[:-1]:
        product = ((int(digit) + product) % 10 or 10) * 2 % 11
    return (11 - product) % 10 == int(text[-1])


def _ean(text: str) -> bool:
    return weighed(text, (1, 3) * 7) % 10 == 0


def day_exists(day: str, month: str) -> bool:
    """Whether a day of a month exists in some year."""
    try:
        date(2000, int(month), int(day))
    except ValueError:
        return False
    return True
