"""The links scanner: addresses that deceive, run code or carry data away, images in Markdown and HTML above all.

An image is fetched as soon as it is shown, so an address made by an attacker carries the conversation away without a
click; so is whatever else HTML and CSS load by themselves. A link that only points somewhere is left alone.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from trimtab.core import BadInput

from .expressions import compiled
from .plaintext import shape_of
from .scanner import Match, Scan, Scanner, found_in, refuse_unknown
from .secrets import entropy
from .text import LIMIT, Context, Reading, Text
from .vocabulary import words_in

LONGEST = 512
#: An image in Markdown, with its title and its closing bracket, and an address that a style sheet loads.
_IMAGE = compiled(
    r"!\[[^\]\n]{0,300}\]\(\s*<?([^\s()<>]+)>?(?:\s{1,8}(?:\"[^\"\n]{0,300}\"|'[^'\n]{0,300}'))?\s{0,8}\)?|"
    r"(?i)(?::[^;:<>{}\n]{0,80}|@import\s{1,8})\burl\(\s{0,8}[\"']?([^\s\"'()<>]+)[\"']?\s{0,8}\)?"
)
#: A tag that loads something by itself, and the addresses in it.
_LOADS = compiled(
    r"(?i)<(?:img|image|use|iframe|frame|embed|video|audio|source|track|input|object|script|link|body|table|td|th)\b"
    r"[^<>]*>?"
)
_LOADED = compiled(
    r"(?i)\b(?:src|srcset|poster|data|background|href)\s{0,8}=\s{0,8}(?:\"([^\"<>]*)|'([^'<>]*)|([^\s\"'<>]+))"
)
#: What stands between the sources of a set: within an address no space comes after a comma.
_MORE = re.compile(r"\s*,\s+")
#: An image whose address stands elsewhere, by its label, and where labels get their addresses.
_BY_LABEL = compiled(r"!\[([^\]\n]{0,300})\](?:\[([^\]\n]{0,100})\])?")
_LABELLED = compiled(
    r"(?m)^ {0,3}\[([^\]\n]{1,100})\]:\s{0,8}<?([^\s<>]+)>?(?:[ \t]{1,8}(?:\"[^\"\n]{0,300}\"|'[^'\n]{0,300}'))?"
)
_LINK = compiled(
    r"\[([^\]\n]{0,300})\]\(\s*<?([^\s()<>]+)|(?i)<a\b[^<>]*\bhref\s*=\s*[\"']?([^\s\"'<>]+)[^<>]*>([^<>]{0,300})"
)
_ADDRESS = compiled(
    r"(?i)\b(?:https?|ftp|wss?)://[^\s<>\"'`\])}]+|\b(?:javascript|vbscript|data|file):[^\s<>\"'`\])}]{4,}"
)
_SIGN = compiled(r"(?i)://|javascript:|vbscript:|data:|file:|!\[|<[a-z]|url\(")
_SHORTENERS = words_in(
    "bit.ly tinyurl.com t.co goo.gl ow.ly is.gd buff.ly rebrand.ly cutt.ly rb.gy shorturl.at tiny.cc s.id v.gd"
)
_CATCHERS = (
    "webhook.site", "requestbin.com", "pipedream.net", "burpcollaborator.net", "oastify.com", "interact.sh", "oast.fun",
    "ngrok.io", "ngrok-free.app", "requestcatcher.com", "beeceptor.com", "hookbin.com", "dnslog.cn", "canarytokens.com",
)  # fmt: skip
_PROGRAMS = re.compile(r"\.(?:exe|scr|msi|bat|cmd|ps1|vbs|jar|apk|dmg|hta|lnk|iso)$", re.IGNORECASE)
_HOST = re.compile(r"(?i)\b(?:[a-z0-9-]+\.)+[a-z]{2,24}\b")
_CARRIER = re.compile(
    r"(?i)^(?:d|q|data|payload|content|text|msg|message|prompt|secret|token|key|leak|exfil|history|chat|info|body|p)$"
)
#: Readings that guess at words: nobody loads an address that is only there once its digits were taken for letters.
_GUESSED = frozenset(("leet", "typoglycemia"))
_LEAST_DATA = 24
_ALIKE = "look-alike-host"
_HEXADECIMAL = re.compile(r"(?:[0-9a-fA-F]{2}){12,}")


def _build(options: Mapping[str, Any]) -> Scan:
    refuse_unknown(options, ("allow", "deny"))
    lists: list[tuple[str, ...]] = []
    for key in ("allow", "deny"):
        hosts = options.get(key, [])
        if not isinstance(hosts, Sequence) or isinstance(hosts, str) or not all(isinstance(h, str) for h in hosts):
            raise BadInput("must be a list of hosts", field=key, mend="Write for example [example.com].")
        lists.append(tuple(host.lower().lstrip("*.") for host in hosts))
    allow, deny = lists

    def scan(text: Text) -> Sequence[Match]:
        said = [turn.text for turn in text.context.turns] + [text.context.asked, text.context.system]
        known = " ".join(said).casefold()
        loadable = tuple(each for each in text.readings if not _GUESSED.intersection("+".join(each.how).split("+")))
        found = found_in(replace(text, readings=loadable), lambda reading: _links(reading, allow, deny, known))
        if text.plain.how:  # the plain reading puts look-alikes right, so they are looked for in what arrived
            arrived = replace(text, readings=(Reading(text.original[:LIMIT]),))
            found += found_in(arrived, lambda part: [m for m in _links(part, allow, deny, known) if m.kind == _ALIKE])
        return found

    return scan


def _links(text: str, allow: Sequence[str], deny: Sequence[str], known: str) -> list[Match]:
    if _SIGN.search(text) is None:
        return []
    found: dict[tuple[int, int], Match] = {}

    def keep(kind: str, score: float, start: int, end: int) -> None:
        old = found.get((start, end))
        if old is None or old.score < score:
            found[start, end] = Match(kind, start, end, score)

    for start, end, address in _loaded(text):
        for kind, score in _image(address, allow, deny, known):
            keep(kind, score, start, end)
    for hit in _LINK.finditer(text):
        shown, address = (hit.group(1), hit.group(2)) if hit.start(2) >= 0 else (hit.group(4), hit.group(3))
        if _deceives(shown or "", address):
            keep("deceptive-link", 0.8, hit.start(), hit.end())
    for hit in _ADDRESS.finditer(text):
        end = hit.end()
        while text[end : end + 1] == ")" and text.count("(", hit.start(), end) > text.count(")", hit.start(), end):
            end += 1  # a bracket of its own, as in javascript:alert(1)
        for kind, score in _address(hit.group().rstrip(".,;:!?*_"), allow, deny, known):
            keep(kind, score, hit.start(), end)
    return list(found.values())


def _loaded(text: str) -> Iterator[tuple[int, int, str]]:
    """Every address that is loaded without a click, and the characters that load it."""
    for hit in _IMAGE.finditer(text):
        yield *hit.span(), hit.group(1) if hit.start(1) >= 0 else hit.group(2)
    for tag in _LOADS.finditer(text):
        for hit in _LOADED.finditer(tag.group()):
            written = next(group for group in hit.groups() if group is not None)
            several = hit.group().lower().startswith("srcset")
            for address in _MORE.split(written)[:16] if several else (written,):
                yield *tag.span(), address.partition(" ")[0] if several else address
    if "![" in text and (labels := {label for _, label in _labels(text)}):
        for hit in _LABELLED.finditer(text):
            if _folded(hit.group(1)) in labels:
                yield *hit.span(), hit.group(2)


def _labels(text: str) -> Iterator[tuple[int, str]]:
    """Where an image is shown by its label, and which."""
    for hit in _BY_LABEL.finditer(text):
        if text[hit.end() : hit.end() + 1] != "(":
            yield hit.start(), _folded(hit.group(2) or hit.group(1))


def _in_code(text: str, at: int) -> bool:
    """Whether what looks like an image may be code: a macro of Rust, an attribute."""
    before = text[at - 1 : at]
    return before == "#" or before == "_" or before.isalnum()


def _folded(label: str) -> str:
    """A label as Markdown compares it."""
    return " ".join(label.casefold().split())


def _image(address: str, allow: Sequence[str], deny: Sequence[str], known: str) -> Iterator[tuple[str, float]]:
    parts = _split(address)
    if parts is None or parts.scheme not in ("http", "https", ""):
        return
    host = (parts.hostname or "").lower()
    if not host or _listed(host, allow):
        return
    carried = _carried(parts, known)
    if carried or _listed(host, deny) or _listed(host, _CATCHERS):
        yield "image-exfiltration", 0.95
    elif parts.query:
        yield "outside-image", 0.4


def _address(address: str, allow: Sequence[str], deny: Sequence[str], known: str) -> Iterator[tuple[str, float]]:
    if re.match(r"(?i)(?:java|vb)script:", address):
        yield "script-link", 0.9
        return
    if re.match(r"(?i)data:", address):
        if re.match(r"(?i)data:(?:text/html|application/(?:xhtml|javascript)|image/svg)", address):
            yield "data-link", 0.9
        return
    if re.match(r"(?i)file:", address):
        yield "file-link", 0.6
        return
    parts = _split(address)
    host = (parts.hostname or "").lower() if parts is not None else ""
    if parts is None or not host or _listed(host, allow):
        return
    if _listed(host, deny):
        yield "denied-host", 1.0
    if _listed(host, _CATCHERS):
        yield "data-catcher", 0.9
    if parts.username is not None and "." in (parts.username or ""):
        yield "deceptive-link", 0.9
    if _numeric(host):
        yield "numeric-host", 0.6
    if _looks_like_another(host):
        yield _ALIKE, 0.8
    if host in _SHORTENERS:
        yield "shortened-link", 0.55
    if _PROGRAMS.search(parts.path):
        yield "program-download", 0.6
    if _carried(parts, known):
        yield "data-in-link", 0.6


def _split(address: str) -> SplitResult | None:
    try:
        parts = urlsplit(address if "//" in address or ":" in address else f"//{address}")
        _ = parts.port, parts.hostname
    except ValueError:
        return None
    return parts


def _carried(parts: SplitResult, known: str) -> bool:
    """Whether an address carries data: a long value that looks encoded, or words of the conversation."""
    for name, value in parse_qsl(parts.query, keep_blank_values=True)[:32]:
        if len(value) >= _LEAST_DATA and (_CARRIER.match(name) or _encoded(value) or " " in value):
            return True
        if len(value) >= 8 and value.casefold() in known and _CARRIER.match(name):
            return True
    labels = "".join((parts.hostname or "").split(".")[:-2])
    if len(labels) >= _LEAST_DATA and _drawn(labels):
        return True
    return any(_said(unquote(part), known) for part in parts.path.split("/"))


def _said(part: str, known: str) -> bool:
    """Whether a part of a path is data: encoded, a sentence, or something long from the conversation."""
    if len(part) >= 40 and _drawn(part):
        return True
    words = part.replace("+", " ").split()
    return len(part) >= _LEAST_DATA and (len(words) > 3 or part.casefold() in known)


def _drawn(value: str) -> bool:
    """Whether a value looks encoded and is no name of words: capitals, small letters and digits take turns in it."""
    kinds = ["A" if sign.isupper() else "a" if sign.islower() else "1" for sign in value if sign.isalnum()]
    turns = sum(one != other for one, other in pairwise(kinds))
    return _encoded(value) and (6 * turns >= len(kinds) or _HEXADECIMAL.fullmatch(value) is not None)


def _encoded(value: str) -> bool:
    """Whether a value looks like base64, hexadecimal or words strung together, and not like a name."""
    if _HEXADECIMAL.fullmatch(value):
        return True
    return re.fullmatch(r"[A-Za-z0-9+/_=-]{24,}", value) is not None and entropy(value) > min(
        4.0, 0.75 * math.log2(len(value))
    )


def _deceives(shown: str, address: str) -> bool:
    """Whether the text of a link names one site and the link leads to another."""
    named = _HOST.search(shown)
    parts = _split(address)
    host = (parts.hostname or "").lower() if parts is not None else ""
    if named is None or not host or "." not in host:
        return False
    one, other = named.group().lower().removeprefix("www."), host.removeprefix("www.")
    return one != other and not one.endswith(f".{other}") and not other.endswith(f".{one}") and _looks_like_host(one)


def _looks_like_host(name: str) -> bool:
    return name.rsplit(".", 1)[1] in (
        "com", "org", "net", "io", "gov", "edu", "co", "uk", "de", "fr", "eu", "app", "dev", "ai", "bank", "info", "us",
    )  # fmt: skip


def _numeric(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return re.fullmatch(r"0x[0-9a-f]+|\d{8,10}", host) is not None
    return not (address.is_private or address.is_loopback)


def _looks_like_another(host: str) -> bool:
    """Whether a host mixes look-alike letters of other scripts with Latin ones, or is such a name in Punycode."""
    try:
        shown = host.encode().decode("idna") if "xn--" in host else host
    except UnicodeError:
        return "xn--" in host
    return not shown.isascii() and "".join(map(shape_of, shown)).isascii()


def _listed(host: str, hosts: Sequence[str]) -> bool:
    return any(host == known or host.endswith(f".{known}") for known in hosts)


def _open(text: str, context: Context) -> int:
    """A link may still grow in the last word, in brackets that are not closed, and between a label and its address. An
    image that is shown by its label waits for the address of that label, not for long where it may be code, as in
    ``vec![1, 2]``."""
    start = max(text.rfind(space) for space in " \n\t") + 1
    for opening, closing in (("![", ")"), ("[", ")"), ("<", ">")):
        at = text.rfind(opening)
        if at >= 0 and text.find(closing, at) < 0 and len(text) - at < LONGEST:
            start = min(start, at)
    if "![" in text:
        given = {_folded(hit.group(1)) for hit in _LABELLED.finditer(text)}
        waits = (at for at, label in _labels(text) if label not in given)
        start = min([start, *(at for at in waits if not _in_code(text, at) or len(text) - at < LONGEST)])
    return start


SCANNERS = (
    Scanner(
        name="links",
        stages=("input", "output", "action"),
        description="Unsafe links: images and addresses that carry data away, text that names another site, scripts, "
        "look-alike and numeric hosts, shorteners, programs.",
        build=_build,
        threshold=0.7,
        longest=LONGEST,
        open=_open,
        options={"allow": "hosts that may be linked to, with their subdomains", "deny": "hosts that may not"},
    ),
)
