"""The forms of personal data: a pattern, a check on its characters, the words that make it likely, and how sure it is.

Patterns are RE2; a first group, where there is one, is the datum itself. ``alone`` is the score without a telling word
nearby, ``near`` the score with one. The sources of the checks are in ``identifiers`` and ``national_codes``.
"""

# ruff: noqa: E501 - a rule a line, so that rules can be compared
from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import NamedTuple

from trimtab.core.checksums import iban

from . import identifiers as ids
from . import national_codes as codes


class PersonalRule(NamedTuple):
    """One form of personal datum."""

    kind: str
    pattern: str
    alone: float
    near: float = 0.0
    words: str = ""
    check: Callable[[str], bool] | None = None


_PHONE_WORDS = (
    r"phones?|tel(?:efon[oe]?|ephone|éfono)?|mobile|cell(?:ular|phone)?|call(?:ed|ing|s)?(?: me| us| him| her)?|fax|whatsapp|"
    r"sms|dial|reach|contact|answering|registered|messages? (?:to|on)|text (?:me|him|her)|(?:office|desk)\W*:|hotline|"
    r"handy|portable|móvil|celular|numéro|nummer|receiving|signal"
)
#: A word right after a number that says it is a phone's.
PHONE_LABEL = r"(?i)^[^A-Za-z0-9]{0,4}(?:office|fax|mobile|cell|desk|home|work|phone|direct)\b"
_ID = r"id(?:entity|entification)?(?: (?:card|number|no))?"


def digits(text: str) -> str:
    """The ASCII digits of a text."""
    return "".join(letter for letter in text if "0" <= letter <= "9")


def _compact(check: Callable[[str], bool]) -> Callable[[str], bool]:
    """The check on the letters and digits alone, in capitals."""
    return lambda text: check(re.sub(r"[^0-9A-Za-z]", "", text).upper())


def _public(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).is_global and not _SECTION.fullmatch(text)
    except ValueError:
        return False


def _address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return text not in ("0.0.0.0", "127.0.0.1", "255.255.255.255", "::", "::1") and not _SECTION.fullmatch(text)


#: Four small numbers number a section or a version, unless a word says that they are an address.
_SECTION = re.compile(r"(?:\d\.){3}\d{1,2}")
_DATE = re.compile(
    r"(?:19|20)\d\d[-./ ]\d{1,2}[-./ ]\d{1,2}(?: \d{1,2})?|\d{1,2}[-./ ]\d{1,2}[-./ ](?:19|20)\d{2}|(?:19|20)\d\d[-–](?:19|20)\d\d"
)


def _phone(text: str) -> bool:
    count = len(digits(text.partition("x")[0]))
    return 7 <= count <= 15 and not _DATE.fullmatch(text.strip()) and len(set(digits(text))) > 2


def _international(text: str) -> bool:
    return 8 <= len(digits(text)) <= 17


RULES: tuple[PersonalRule, ...] = (
    PersonalRule("email", r"[0-9A-Za-z._%+'\x{a1}-\x{2fff}-]+@(?:[0-9A-Za-z\x{a1}-\x{2fff}-]+\.)+[A-Za-z\x{a1}-\x{2fff}]{2,24}", 0.95),
    PersonalRule(
        "card-number", r"\b(?:\d[ -]?){12,18}\d\b", 0.7, 0.95,
        r"cards?|credit|debit|visa|master|amex|maestro|discover|diners|jcb|cc|pan|payment|pay|paid|charge|atm", _compact(ids.card),
    ),
    PersonalRule("card-number", r"\b\d{12}\b", 0.2, 0.85, r"cards?|credit|debit|maestro|atm|cc", _compact(ids.card)),
    PersonalRule("iban", r"\b[A-Za-z]{2}\d{2}(?: ?[A-Za-z0-9]{4}){2,7}(?: ?[A-Za-z0-9]{1,3})?\b", 0.95, 0.95, "iban", _compact(iban)),
    PersonalRule("bank-account", r"\b\d{8,12}\b", 0.1, 0.6, r"(?:bank )?account (?:number|no)|acct|kontonummer|routing", lambda text: len(set(text)) > 3),
    PersonalRule("us-routing-number", r"\b\d{9}\b", 0.1, 0.75, r"routing|aba|rtn", ids.us_routing),
    PersonalRule("bitcoin-address", r"\b[13][1-9A-HJ-NP-Za-km-z]{25,34}\b", 0.9, 0.9, "", ids.bitcoin),
    PersonalRule("bitcoin-address", r"\bbc1[02-9ac-hj-np-z]{11,71}\b", 0.8),
    PersonalRule("ethereum-address", r"\b0x[0-9A-Fa-f]{40}\b", 0.6),
    PersonalRule("phone", r"\+\d{1,3}[ .-]?(?:\(\d{1,4}\)[ .-]?)?(?:\d{1,5}[ .-]?){1,6}\d{1,5}(?: ?(?:x|ext\.?) ?\d{1,6})?", 0.85, 0.95, _PHONE_WORDS, _international),
    PersonalRule("phone", r"\b00[1-9]\d{0,2}[ .-]?(?:\(\d{1,4}\)[ .-]?)?(?:\d{2,5}[ .-]?){2,5}\d{1,5}\b", 0.6, 0.9, _PHONE_WORDS, _international),
    PersonalRule("phone", r"(?:\+?1[ .-]?)?(?:\([2-9]\d{2}\) ?|\b[2-9]\d{2}[ .-])\d{3}[ .-]\d{4}(?: ?(?:x|ext\.?) ?\d{1,6})?\b", 0.7, 0.95, _PHONE_WORDS, _phone),
    PersonalRule("phone", r"(?:\(\d{1,5}\)|\b\d{1,5})(?: ?[ ./-]\d{1,8}){1,5}(?: ?(?:x|ext\.?) ?\d{1,6})?\b", 0.25, 0.8, _PHONE_WORDS, _phone),
    PersonalRule("phone", r"\b\d{7,12}(?: ?(?:x|ext\.?) ?\d{1,6})?\b", 0.2, 0.75, _PHONE_WORDS, _phone),
    PersonalRule("ip-address", r"\b(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)\b", 0.6, 0.8, r"ip|address|host|client|server|login", _public),
    PersonalRule("ip-address", r"\b(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)\b", 0.3, 0.5, r"ip|address|client|login", _address),
    PersonalRule("ip-address", r"(?:[0-9A-Fa-f]{1,4}:){3,7}(?::?[0-9A-Fa-f]{1,4}){0,4}|(?:[0-9A-Fa-f]{1,4}:){1,6}:[0-9A-Fa-f:]{1,30}", 0.8, 0.9, "ip", _address),
    PersonalRule("mac-address", r"\b(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}\b", 0.6),
    PersonalRule("url", r"\bhttps?://[^\s<>\"'()\[\]{}|\\^`]{4,}[^\s<>\"'()\[\]{}|\\^`.,;:!?]", 0.55),
    PersonalRule("date-of-birth", r"\b\d{1,4}[-/. ]\d{1,2}[-/. ]\d{2,4}\b", 0.1, 0.75, r"born|birth|birthday|dob|d\.o\.b|geboren|naissance|nacimiento|nascita"),
    PersonalRule("passport", r"\b[A-Z]{0,2}\d{6,9}\b", 0.1, 0.75, r"passports?|reisepass|passeport|pasaporte"),
    PersonalRule("passport", r"\b[CFGHJKLMNPRTVWXYZ][CFGHJKLMNPRTVWXYZ0-9]{8}\b", 0.1, 0.75, r"passports?|reisepass|passeport|pasaporte", lambda text: len(digits(text)) > 3),
    PersonalRule("driver-licence", r"\b[A-Z]{0,3}\d{4,14}(?:-\d{2,4}){0,3}\b", 0.1, 0.75, r"driv(?:er|ing)(?:'?s)? ?licen[cs]e|führerschein|permis de conduire"),
    PersonalRule("person", r"(?:[Mm]y name is|I am called|I'm called|[Mm]ein Name ist|[Jj]e m'appelle|[Mm]e llamo) (\p{Lu}[\p{L}'-]+(?: \p{Lu}[\p{L}'-]+){0,3})", 0.7),
    # National identifiers
    PersonalRule("us-ssn", r"\b\d{3}-\d{2}-\d{4}\b", 0.85, 0.95, r"ssn|social", _compact(ids.us_ssn)),
    PersonalRule("us-ssn", r"\b\d{3}[ .]?\d{2}[ .]?\d{4}\b", 0.1, 0.85, r"ssn|social security", _compact(ids.us_ssn)),
    PersonalRule("us-itin", r"\b9\d{2}-?\d{2}-?\d{4}\b", 0.3, 0.9, r"itin|taxpayer", _compact(ids.us_itin)),
    PersonalRule("us-npi", r"\b[12]\d{9}\b", 0.1, 0.85, r"npi|provider", ids.us_npi),
    PersonalRule("uk-nhs-number", r"\b\d{3}[ -]?\d{3}[ -]?\d{4}\b", 0.3, 0.9, r"nhs|health", _compact(ids.uk_nhs)),
    PersonalRule("uk-national-insurance", r"\b[A-Za-z]{2} ?\d{2} ?\d{2} ?\d{2} ?[A-Da-d]\b", 0.8, 0.95, r"national insurance|nino?", _compact(ids.uk_nino)),
    PersonalRule("de-tax-id", r"\b\d{2} ?\d{3} ?\d{3} ?\d{3}\b", 0.3, 0.9, r"steuer|tax|idnr|tin", _compact(ids.de_tax)),
    PersonalRule("fr-social-security", r"\b[1-478] ?\d{2} ?(?:0[1-9]|1[0-2]|[2-9]\d) ?(?:\d{2}|2[ABab]) ?\d{3} ?\d{3} ?\d{2}\b", 0.85, 0.95, r"sécu|social|nir", _compact(ids.fr_nir)),
    PersonalRule("es-dni", r"\b(?:\d{8}|[XYZxyz]-?\d{7})-?[A-Za-z]\b", 0.8, 0.95, r"dni|nie|nif", _compact(ids.es_dni)),
    PersonalRule("it-fiscal-code", r"\b[A-Za-z]{6}\d{2}[A-EHLMPR-Ta-ehlmpr-t]\d{2}[A-Za-z]\d{3}[A-Za-z]\b", 0.95, 0.95, "", _compact(ids.it_fiscal_code)),
    PersonalRule("nl-bsn", r"\b\d{9}\b|\b\d{4}[ .]\d{2}[ .]\d{3}\b", 0.1, 0.85, r"bsn|burgerservice|sofi", _compact(ids.nl_bsn)),
    PersonalRule("be-national-number", r"\b\d{2}[.]?\d{2}[.]?\d{2}[ -]?\d{3}[. ]?\d{2}\b", 0.6, 0.9, r"rijksregister|national|registre", _compact(ids.be_national)),
    PersonalRule("pt-nif", r"\b\d{3} ?\d{3} ?\d{3}\b", 0.1, 0.85, r"nif|contribuinte", _compact(ids.pt_nif)),
    PersonalRule("pl-pesel", r"\b\d{11}\b", 0.4, 0.9, r"pesel", ids.pl_pesel),
    PersonalRule("se-personal-number", r"\b(?:19|20)?\d{6}[-+]?\d{4}\b", 0.3, 0.9, r"personnummer|swedish|samordning", _compact(ids.se_personal)),
    PersonalRule("fi-personal-code", r"\b\d{6}[-+A-FYXWVUa-f]\d{3}[0-9A-Ya-y]\b", 0.85, 0.95, r"hetu|henkil", lambda text: ids.fi_hetu(text.upper())),
    PersonalRule("no-birth-number", r"\b\d{6} ?\d{5}\b", 0.5, 0.9, r"fødselsnummer|personnummer|norw", _compact(ids.no_birth_number)),
    PersonalRule("dk-cpr", r"\b\d{6}-\d{4}\b", 0.3, 0.85, r"cpr|personnummer|danish", _compact(ids.dk_cpr)),
    PersonalRule("ch-ahv-number", r"\b756[. ]?\d{4}[. ]?\d{4}[. ]?\d{2}\b", 0.9, 0.95, r"ahv|avs", _compact(ids.ch_ahv)),
    PersonalRule("at-insurance-number", r"\b\d{4} ?\d{6}\b", 0.1, 0.85, r"svnr|sozialversicherung|versicherungsnummer", _compact(ids.at_svnr)),
    PersonalRule("ie-pps", r"\b\d{7}[A-Wa-w][A-IWa-iw]?\b", 0.5, 0.9, r"pps", _compact(ids.ie_pps)),
    PersonalRule("ro-cnp", r"\b[1-9]\d{12}\b", 0.5, 0.9, r"cnp|cod numeric", ids.ro_cnp),
    PersonalRule("cz-birth-number", r"\b\d{6}/\d{4}\b", 0.7, 0.9, r"rodné|rodne", _compact(ids.cz_birth_number)),
    PersonalRule("bg-egn", r"\b\d{10}\b", 0.1, 0.9, r"егн|egn", ids.bg_egn),
    PersonalRule("ru-snils", r"\b\d{3}-\d{3}-\d{3}[ -]\d{2}\b", 0.85, 0.95, r"снилс|snils", _compact(ids.ru_snils)),
    PersonalRule("tr-identity-number", r"\b[1-9]\d{10}\b", 0.5, 0.9, r"kimlik|tckn|turkish", ids.tr_identity),
    PersonalRule("il-identity-number", r"\b\d{9}\b", 0.1, 0.85, r"teudat|תעודת זהות|ת\.?\"?ז|israeli", ids.il_identity),
    PersonalRule("za-id-number", r"\b\d{13}\b", 0.6, 0.9, r"south africa|" + _ID, ids.za_id),
    PersonalRule("br-cpf", r"\b\d{3}\.?\d{3}\.?\d{3}-?\d{2}\b", 0.5, 0.95, r"cpf", _compact(ids.br_cpf)),
    PersonalRule("br-cpf", r"\b\d{3}\.\d{3}\.\d{3}-\d{2}\b", 0.9, 0.95, r"cpf", _compact(ids.br_cpf)),
    PersonalRule("br-cnpj", r"\b\d{2}\.?\d{3}\.?\d{3}/?\d{4}-?\d{2}\b", 0.6, 0.95, r"cnpj", _compact(ids.br_cnpj)),
    PersonalRule("cl-rut", r"\b\d{1,2}\.?\d{3}\.?\d{3}-[\dkK]\b", 0.7, 0.95, r"rut", _compact(ids.cl_rut)),
    PersonalRule("ar-cuit", r"\b\d{2}-?\d{8}-?\d\b", 0.5, 0.9, r"cui[tl]", _compact(ids.ar_cuit)),
    PersonalRule("mx-curp", r"\b[A-Z]{4}\d{6}[HMX][A-Z]{5}[0-9A-Z]\d\b", 0.95, 0.95, "", ids.mx_curp),
    PersonalRule("ca-sin", r"\b\d{3}[ -]\d{3}[ -]\d{3}\b", 0.4, 0.95, r"sin|social insurance", _compact(ids.ca_sin)),
    PersonalRule("in-aadhaar", r"\b[2-9]\d{3}[ -]?\d{4}[ -]?\d{4}\b", 0.4, 0.95, r"aa?dhaa?r|uidai?", _compact(ids.in_aadhaar)),
    PersonalRule("in-pan", r"\b[A-Z]{3}[ABCFGHLJPT][A-Z]\d{4}[A-Z]\b", 0.7, 0.95, r"pan|tax|income"),
    PersonalRule("cn-resident-id", r"\b[1-9]\d{16}[\dXx]\b", 0.9, 0.95, r"身份证", _compact(ids.cn_resident)),
    PersonalRule("jp-my-number", r"\b\d{4}[ -]?\d{4}[ -]?\d{4}\b", 0.2, 0.9, r"my number|マイナンバー|個人番号", _compact(ids.jp_my_number)),
    PersonalRule("kr-resident-number", r"\b\d{6}-[1-8]\d{6}\b", 0.85, 0.95, r"주민", _compact(ids.kr_resident)),
    PersonalRule("tw-identity-number", r"\b[A-Z][1289]\d{8}\b", 0.8, 0.95, r"身分證|taiwan", ids.tw_national),
    PersonalRule("sg-nric", r"\b[STFGMstfgm]\d{7}[A-Za-z]\b", 0.9, 0.95, r"nric|fin", _compact(ids.sg_nric)),
    PersonalRule("au-tfn", r"\b\d{3} ?\d{3} ?\d{3}\b", 0.1, 0.9, r"tfn|tax file", _compact(ids.au_tfn)),
    PersonalRule("th-national-id", r"\b[1-8](?:-?\d{4})-?\d{5}-?\d{2}-?\d\b", 0.3, 0.9, r"บัตรประชาชน|เลขประจำตัวประชาชน|thai", _compact(codes.th_national)),
    PersonalRule("hk-identity-card", r"\b[A-Z]{1,2}\d{6}\([0-9A]\)", 0.85, 0.95, r"hkid|身份證|hong kong", _compact(codes.hk_identity)),
    PersonalRule("hk-identity-card", r"\b[A-Z]{1,2}\d{6}[0-9A]\b", 0.1, 0.9, r"hkid|身份證|hong kong", codes.hk_identity),
    PersonalRule("gr-amka", r"\b\d{11}\b", 0.2, 0.9, r"amka|αμκα", codes.gr_amka),
    PersonalRule("hr-oib", r"\b\d{11}\b", 0.1, 0.9, r"oib", codes.hr_oib),
    PersonalRule("jmbg", r"\b\d{13}\b", 0.3, 0.9, r"jmbg|матични|emšo|emso", codes.jmbg),
    PersonalRule("baltic-personal-code", r"\b[1-6]\d{10}\b", 0.3, 0.9, r"isikukood|asmens kod|estonian|lithuanian", codes.baltic),
    PersonalRule("hu-taj", r"\b\d{3}[ -]?\d{3}[ -]?\d{3}\b", 0.1, 0.9, r"taj|társadalombiztosítás", _compact(codes.hu_taj)),
    PersonalRule("ua-tax-number", r"\b\d{10}\b", 0.1, 0.9, r"рнокпп|ідентифікаційний|ипн|rnokpp", codes.ua_tax),
    PersonalRule("pk-cnic", r"\b[1-7]\d{4}-\d{7}-\d\b", 0.5, 0.95, r"cnic|nadra|شناختی"),
    PersonalRule("id-nik", r"\b\d{16}\b", 0.1, 0.85, r"nik|ktp|induk kependudukan", codes.id_nik),
    PersonalRule("my-nric", r"\b\d{6}-\d{2}-\d{4}\b", 0.5, 0.95, r"mykad|kad pengenalan|nric|malaysia", _compact(codes.my_nric)),
    PersonalRule("au-medicare", r"\b[2-6]\d{3} ?\d{5} ?\d\b", 0.2, 0.9, r"medicare", _compact(ids.au_medicare)),
)  # fmt: skip
