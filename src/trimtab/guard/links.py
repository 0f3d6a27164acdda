"""The links scanner: addresses that deceive, run code or carry data away, images in Markdown and HTML above all.

An image is fetched as soon as it is shown, so an address made by an attacker carries the conversation away without a
click. A link that only points somewhere is left alone.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from trimtab.core import BadInput

from .expressions import compiled
from .plaintext import shape_of
from .scanner import Match, Scan, Scanner, found_in, refuse_unknown
from .secrets import entropy
from .text import Context, Text
from .vocabulary import words_in

LONGEST = 512
_IMAGE = compiled(
    r"!\[[^\]\n]{0,300}\]\(\s*<?([^\s()<>]+)|(?i)<img\b[^<>]*\bsrc\s*=\s*(?:\"([^\"<>]*)|'([^'<>]*)|([^\s\"'<>]+))|"
    r"(?i)background(?:-image)?\s*:\s*url\(\s*[\"']?([^\s\"')]+)|!\[[^\]\n]{0,300}\]\[[^\]\n]{0,100}\]"
)
_LINK = compiled(
    r"\[([^\]\n]{0,300})\]\(\s*<?([^\s()<>]+)|(?i)<a\b[^<>]*\bhref\s*=\s*[\"']?([^\s\"'<>]+)[^<>]*>([^<>]{0,300})"
)
_ADDRESS = compiled(
    r"(?i)\b(?:https?|ftp|wss?)://[^\s<>\"'`\])}]+|\b(?:javascript|vbscript|data|file):[^\s<>\"'`\])}]{4,}"
)
_SIGN = compiled(r"(?i)://|javascript:|vbscript:|data:|file:|!\[|<img|<a ")
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
_LEAST_DATA = 24


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
        found = found_in(text, lambda reading: _links(reading, allow, deny, known))
        if text.plain.how:  # the plain reading puts look-alikes right, so they are looked for in what arrived
            arrived = _links(text.original, allow, deny, known)
            found += [match for match in arrived if match.kind == "look-alike-host"]
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

    for hit in _IMAGE.finditer(text):
        group = next((n for n in range(1, _IMAGE.groups + 1) if hit.start(n) >= 0), 0)
        if group:
            for kind, score in _image(hit.group(group), allow, deny, known):
                keep(kind, score, hit.start(), hit.end())
    for hit in _LINK.finditer(text):
        shown, address = (hit.group(1), hit.group(2)) if hit.start(2) >= 0 else (hit.group(4), hit.group(3))
        if _deceives(shown or "", address):
            keep("deceptive-link", 0.8, hit.start(), hit.end())
    for hit in _ADDRESS.finditer(text):
        for kind, score in _address(hit.group().rstrip(".,;:!?*_"), allow, deny, known):
            keep(kind, score, hit.start(), hit.end())
    return list(found.values())


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
        yield "look-alike-host", 0.8
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
    label = (parts.hostname or "").split(".")[0]
    if len(label) >= _LEAST_DATA and _encoded(label):
        return True
    return any(len(part) >= 40 and _encoded(unquote(part)) for part in parts.path.split("/"))


def _encoded(value: str) -> bool:
    """Whether a value looks like base64, hexadecimal or words strung together, and not like a name."""
    if re.fullmatch(r"(?:[0-9a-f]{2}){12,}", value, re.IGNORECASE):
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
    """A link may still grow in the last word, in brackets that are not closed, and between a label and its address."""
    start = max(text.rfind(space) for space in " \n\t") + 1
    for opening, closing in (("![", ")"), ("[", ")"), ("<", ">")):
        at = text.rfind(opening)
        if at >= 0 and text.find(closing, at) < 0 and len(text) - at < LONGEST:
            start = min(start, at)
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
