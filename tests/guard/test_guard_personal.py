"""The personal-data scanner: found by check digits and nearby words, and not found in what only looks alike."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from trimtab.core import BadInput
from trimtab.core.checksums import iban
from trimtab.guard import SCANNERS, Match, read
from trimtab.guard import identifiers as ids
from trimtab.guard import national_codes as codes

ROWS = [
    json.loads(line)
    for line in gzip.decompress((Path(__file__).parent / "data" / "personal.jsonl.gz").read_bytes()).splitlines()
]
CARD = SCANNERS["personal"]
KINDS = {
    "CREDIT_CARD": "card-number", "EMAIL_ADDRESS": "email", "IBAN_CODE": "iban", "IP_ADDRESS": "ip-address",
    "PHONE_NUMBER": "phone", "US_SSN": "us-ssn", "US_DRIVER_LICENSE": "driver-licence",
}  # fmt: skip


def found(text: str, **options: Any) -> list[Match]:
    return [match for match in CARD.build(options)(read(text)) if match.score >= CARD.threshold]


def kinds(text: str) -> set[str]:
    return {match.kind for match in found(text)}


def test_patterned_kinds_reach_f1_of_95() -> None:
    right: Counter[str] = Counter()
    missed: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    for row in ROWS:
        matches = found(row["text"], kinds=list(KINDS.values()))
        used = set()
        for kind, start, end in row["spans"]:
            hits = [m for m in matches if m.kind == KINDS[kind] and m.start < end and m.end > start]
            used.update(hits)
            right[KINDS[kind]] += bool(hits)
            missed[KINDS[kind]] += not hits
        wrong.update(match.kind for match in matches if match not in used)
    for kind in right:
        assert 2 * right[kind] >= 0.95 * (2 * right[kind] + missed[kind] + wrong[kind]), kind


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("email", "Write to jörg.müller+x@exämple.co.uk today"),
        ("card-number", "Card 4111 1111 1111 1111."),
        ("iban", "IBAN DE89 3704 0044 0532 0130 00"),
        ("phone", "call me at +44 20 7946 0958"),
        ("ip-address", "blocked 8.8.4.100 today"),
        ("ip-address", "client 2001:db8:85a3::8a2e:370:7334 logged in"),
        ("us-ssn", "SSN 536-90-4399"),
        ("uk-nhs-number", "NHS number 943 476 5919"),
        ("uk-national-insurance", "NI AB 12 34 56 C"),
        ("de-tax-id", "Steuer-ID 86095742719"),
        ("fr-social-security", "numéro 1 85 05 78 006 084 91"),
        ("es-dni", "DNI 12345678Z"),
        ("it-fiscal-code", "RSSMRA85T10A562S"),
        ("nl-bsn", "BSN 111222333"),
        ("be-national-number", "rijksregister 85.07.30-033.28"),
        ("pl-pesel", "PESEL 44051401359"),
        ("se-personal-number", "personnummer 811228-9874"),
        ("fi-personal-code", "131052-308T"),
        ("ch-ahv-number", "756.9217.0769.85"),
        ("br-cpf", "CPF 529.982.247-25"),
        ("br-cnpj", "CNPJ 11.222.333/0001-81"),
        ("cl-rut", "RUT 12.345.678-5"),
        ("ca-sin", "SIN 123 456 782"),
        ("in-aadhaar", "Aadhaar 2341 2341 2346"),
        ("in-pan", "PAN ABCPE1234F"),
        ("cn-resident-id", "11010519491231002X"),
        ("sg-nric", "S1234567D"),
        ("za-id-number", "ID number 8001015009087"),
        ("tr-identity-number", "kimlik 10000000146"),
        ("au-tfn", "TFN 123 456 782"),
        ("ru-snils", "112-233-445 95"),
        ("bitcoin-address", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"),
        ("person", "Hello, my name is Ada Lovelace."),
        ("date-of-birth", "born on 12/10/1985"),
        ("passport", "passport no. 512345678"),
        ("passport", "Reisepass C01X00T47"),
        ("th-national-id", "เลขประจำตัวประชาชน 1-1017-00207-03-0"),
        ("hk-identity-card", "A123456(3)"),
        ("hk-identity-card", "HKID: G123456A"),
        ("gr-amka", "ΑΜΚΑ 01013099997"),
        ("hr-oib", "OIB 33392005961"),
        ("jmbg", "JMBG 0101006500006"),
        ("baltic-personal-code", "isikukood 37605030299"),
        ("hu-taj", "TAJ 111 222 337"),
        ("ua-tax-number", "РНОКПП 1759013776"),
        ("pk-cnic", "CNIC 34201-0891231-8"),
        ("id-nik", "NIK 3171011708450001"),
        ("my-nric", "MyKad 770305-02-1234"),
        ("il-identity-number", "תעודת זהות 123456782"),
    ],
)
def test_each_kind_is_found(kind: str, text: str) -> None:
    assert kind in kinds(text)


@pytest.mark.parametrize(
    "text",
    [
        "Trace 4111111111111112 took 1795634071 ns.",
        "Version 10.4.2.1 of 2026-11-25 at 16:07, see section 7.3.5.2.",
        "Between 1939-1945 and 2001-2004 the number rose by 123.456.789.",
        "Order 550e8400-e29b-41d4-a716-446655440000, size 1024x768.",
        "The sum is 1,234,567.89 of 9,876,543.",
        "@channel look at 127.0.0.1 and localhost",
        "DE00 0000 0000 0000 0000 00 is no account",
        "12345678A is no DNI",
    ],
)
def test_numbers_that_are_nobodys_are_left_alone(text: str) -> None:
    assert not found(text)


def test_a_word_nearby_makes_a_number_likely() -> None:
    number = "123 456 782"
    alone = next((m.score for m in CARD.build({})(read(f"see {number}")) if m.kind == "ca-sin"), 0.0)
    near = next(m.score for m in CARD.build({})(read(f"social insurance number {number}")) if m.kind == "ca-sin")
    assert alone < near


def test_full_width_digits_and_spelled_out_ones_are_seen() -> None:
    text = "card ４１１１ １１１１ １１１１ １１１１ ok"
    (match,) = found(text)
    assert (match.kind, text[match.start : match.end]) == ("card-number", "４１１１ １１１１ １１１１ １１１１")


def test_options_name_kinds() -> None:
    assert not found("a@b.example", kinds=["phone"])
    assert found("see https://example.com/a/b", kinds=["url"])
    for wrong in ([], ["nonsense"], "email"):
        with pytest.raises(BadInput):
            CARD.build({"kinds": wrong})


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (ids.card, "4111111111111111", "4111111111111112"),
        (iban, "GB29NWBK60161331926819", "GB29NWBK60161331926818"),
        (ids.us_ssn, "536904399", "666904399"),
        (ids.us_itin, "912701234", "912691234"),
        (ids.us_npi, "1234567893", "1234567890"),
        (ids.us_routing, "021000021", "021000022"),
        (ids.uk_nhs, "9434765919", "9434765918"),
        (ids.de_tax, "86095742719", "86095742718"),
        (ids.nl_bsn, "111222333", "111222334"),
        (ids.pt_nif, "123456789", "123456788"),
        (ids.no_birth_number, "15076500565", "15076500566"),
        (ids.at_svnr, "1237010180", "1238010180"),
        (ids.ar_cuit, "20055361682", "20055361683"),
        (ids.mx_curp, "BOXW310820HNERXN09", "BOXW310820HNERXN08"),
        (ids.jp_my_number, "123456789018", "123456789012"),
        (ids.tw_national, "A123456789", "A123456788"),
        (ids.au_medicare, "2123456701", "2123456711"),
        (ids.il_identity, "123456782", "123456783"),
        (ids.ro_cnp, "1800101221144", "1800101221145"),
        (ids.cz_birth_number, "7103192745", "7103192746"),
        (ids.bg_egn, "7523169263", "7523169264"),
        (ids.ie_pps, "1234567T", "1234567A"),
        (ids.kr_resident, "8501011234566", "8501011234567"),
        (codes.th_national, "1101700207030", "1101700207031"),
        (codes.hk_identity, "AB9876543", "AB9876544"),
        (codes.hk_identity, "G123456A", "G1234561"),
        (codes.gr_amka, "01013099997", "41013099997"),
        (codes.hr_oib, "33392005961", "33392005962"),
        (codes.jmbg, "0101006500006", "0101006500007"),
        (codes.baltic, "37605030299", "37605030298"),
        (codes.hu_taj, "111222337", "111222338"),
        (codes.ua_tax, "1759013776", "1759013777"),
        (codes.id_nik, "3171015708450001", "3171013202450001"),
        (codes.my_nric, "770305021234", "771305021234"),
    ],
)
def test_check_digits(check: Any, good: str, bad: str) -> None:
    assert check(good)
    assert not check(bad)
