"""Scanners for program text: whether there is any, in which language, and whether it does dangerous things."""

# ruff: noqa: E501 - a sign or danger a line
from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from trimtab.core import BadInput

from .expressions import Screen, compiled
from .scanner import Match, Scan, Scanner, found_in, plain, refuse_unknown
from .text import Text

_FENCE = re.compile(
    r"(?m)^[ \t]{0,3}(?:```|~~~)[ \t]*([A-Za-z0-9+#.-]{0,20})[^\n]*\n([\s\S]*?)(?:^[ \t]{0,3}(?:```|~~~)|\Z)"
)
_SIGNS: Mapping[str, str] = {
    "python": r"(?m)^\s*(?:def \w+\(.*\).*:|class \w+.*:|from [\w.]+ import |import \w+(?:\.\w+)*(?: as \w+)?$|elif .+:|except\b.*:|@\w+|print\()",
    "javascript": r"(?m)(?:^\s*(?:const|let|var) \w+ =|=> ?\{|function ?\w*\([^)]*\) ?\{|console\.log\(|require\(['\"]|^\s*export (?:default|const)|document\.\w+)",
    "java": r"(?m)(?:public (?:static |final )*(?:class|void|int|String)|System\.out\.print|^\s*import java\.|@Override|private (?:static |final )*\w+ \w+)",
    "c": r"(?m)(?:^\s*#include ?[<\"]|int main\(|printf\(\"|std::|->\w+\(|\bmalloc\(|#define \w+)",
    "csharp": r"(?m)(?:^\s*using System|Console\.Write|namespace \w+|public (?:async )?Task)",
    "go": r"(?m)(?:^\s*package \w+$|func \w*\(.*\).*\{|fmt\.Print|:= )",
    "rust": r"(?m)(?:\bfn \w+\(.*\)|let mut |println!\(|impl \w+|use std::)",
    "php": r"<\?php|\$\w+ = .*;|echo \$\w+",
    "ruby": r"(?m)^\s*(?:def \w+[^:]*$|require ['\"]|puts |end$)",
    "sql": r"(?i)\b(?:select\s+(?:\*|[\w.]+(?:\s*,\s*[\w.]+)*)\s+from\s+\w+\s*(?:;|$|where\b|join\b|group by|order by|limit\b)|insert into \w+|update \w+ set|delete from \w+|create table|drop table|alter table)",
    "shell": r"(?m)(?:^#!/|^\s*(?:\$ )?(?:sudo |apt-get |curl -|wget |chmod |grep -|export \w+=|echo \$|cd /|rm -)|\|\s*(?:sh|bash|grep|xargs)\b|\bfi$|\bdone$)",
    "html": r"(?i)<(?:html|body|div|script|head|table|form|style)\b[^>]*>|<!doctype html",
    "css": r"(?m)^\s*[.#]?[\w-]+ ?\{[^}]*:[^}]*;",
}
_LANGUAGES = {name: compiled(pattern) for name, pattern in _SIGNS.items()}
_ALIASES = {
    "py": "python", "python3": "python", "js": "javascript", "ts": "javascript", "typescript": "javascript",
    "jsx": "javascript", "sh": "shell", "bash": "shell", "zsh": "shell", "powershell": "shell", "cpp": "c", "c++": "c",
    "cs": "csharp", "c#": "csharp", "golang": "go", "rs": "rust", "rb": "ruby", "postgresql": "sql", "mysql": "sql",
}  # fmt: skip
_DANGERS: tuple[tuple[str, str], ...] = (
    ("wipes-files", r"\brm\s+-[a-zA-Z]*[rf][a-zA-Z]*\s+(?:--no-preserve-root\s+)?(?:/|~|\$HOME|\*)|\bmkfs\.\w+|\bdd\s+if=.*of=/dev/|(?i:\bformat\s+c:)|shutil\.rmtree\(\s*['\"]/"),
    ("runs-download", r"(?:curl|wget)\b[^\n|]{1,300}\|\s*(?:sudo\s+)?(?:sh|bash|zsh|python3?)\b|(?i:iex\s*\(?\s*\(?new-object|downloadstring\()"),
    ("reverse-shell", r"/dev/tcp/|\bnc\s+-[a-z]*e\b|bash\s+-i\s+>&|socket\.socket\([^\n]*\n?[^\n]*connect\([^\n]*\n[^\n]*(?:dup2|subprocess|pty\.spawn)"),
    ("fork-bomb", r":\(\)\s*\{\s*:\s*\|\s*:&\s*\}\s*;"),
    ("evaluates-input", r"\b(?:eval|exec)\s*\(\s*(?:input|request|req\.|sys\.argv|user|params|data\b|\$_(?:GET|POST|REQUEST))"),
    ("shell-injection", r"(?:os\.system|os\.popen|subprocess\.\w+)\s*\(\s*(?:f['\"]|['\"][^'\"\n]*['\"]\s*(?:%|\+|\.format)|[^)\n]*shell\s*=\s*True)|child_process\.exec\(\s*[`'\"][^)]*(?:\$\{|\+)"),
    ("sql-injection", r"(?i)(?:execute|query|cursor\.\w+)\s*\(\s*(?:f['\"]\s*(?:select|insert|update|delete)|['\"](?:select|insert|update|delete)[^'\"\n]*['\"]\s*(?:%|\+|\.format))"),
    ("unsafe-load", r"\b(?:pickle|cPickle|dill|marshal|shelve)\.loads?\(|yaml\.load\((?:[^)\n]*Loader\s*=\s*yaml\.(?:Unsafe)?Loader|[^,)\n]*\))|\bObjectInputStream\(|\bunserialize\(\s*\$_"),
    ("no-certificate-check", r"verify\s*=\s*False|rejectUnauthorized\s*:\s*false|InsecureSkipVerify\s*:\s*true|CURLOPT_SSL_VERIFYPEER\s*,\s*(?:0|false)|ssl\._create_unverified_context"),
    ("weak-crypto", r"(?i)hashlib\.(?:md5|sha1)\([^)\n]*passw|\bDES\.new\(|MODE_ECB|createHash\(['\"]md5['\"]\)[^\n]*passw"),
    ("html-injection", r"\.innerHTML\s*=\s*(?:[^'\"\s;][^;\n]*|['\"][^'\"\n]*['\"]\s*\+)|document\.write\(\s*(?:location|document|window|[^'\")\s]+\+)|dangerouslySetInnerHTML"),
    ("open-to-all", r"\bchmod\s+(?:-R\s+)?0?777\b|0\.0\.0\.0/0[^\n]*(?:22|3389)|(?i:grant\s+all\s+privileges\s+on\s+\*\.\*)"),
    ("drops-tables", r"(?i)\bdrop\s+(?:database|schema)\s+\w+|\btruncate\s+table\s+\w+|\bdelete\s+from\s+\w+\s*;"),
)  # fmt: skip
_DANGER_SCREEN = Screen([pattern for _, pattern in _DANGERS])
_DANGER_RULES = tuple((kind, compiled(pattern)) for kind, pattern in _DANGERS)


def language_of_code(text: str) -> tuple[str, int]:
    """The likeliest programming language of a text and how many signs of it there are; empty without any."""
    counts = {name: len(pattern.findall(text)) for name, pattern in _LANGUAGES.items()}
    best = max(counts, key=counts.__getitem__)
    return (best, counts[best]) if counts[best] else ("", 0)


def _code(options: Mapping[str, Any]) -> Scan:
    refuse_unknown(options, ("allow", "deny"))
    lists = []
    for key in ("allow", "deny"):
        names = options.get(key, [])
        if not isinstance(names, Sequence) or isinstance(names, str) or not set(names) <= set(_SIGNS):
            raise BadInput("must be a list of languages", field=key, mend=f"Choose from {', '.join(_SIGNS)}.")
        lists.append(frozenset(names))
    allow, deny = lists

    def unwanted(name: str) -> bool:
        return name in deny if deny else name not in allow

    def scan(text: Text) -> Sequence[Match]:
        reading = text.plain
        found = []
        for fence in _FENCE.finditer(reading.text):
            label = fence.group(1).lower()
            name = _ALIASES.get(label, label) or language_of_code(fence.group(2))[0] or "unknown"
            if unwanted(name):
                found.append(Match(f"code-{name}", *reading.spot(fence.start(), fence.end()), 1.0))
        name, signs = language_of_code(_FENCE.sub("", reading.text))
        if signs and unwanted(name):
            lines = max(1, sum(1 for line in reading.text.splitlines() if line.strip()))
            score = min(1.0, 0.3 + 0.15 * signs + 0.4 * signs / lines)
            found.append(Match(f"code-{name}", 0, len(text.original), score))
        return found

    return scan


def _dangerous(reading: str) -> list[Match]:
    found = []
    for number in _DANGER_SCREEN.which(reading):
        kind, pattern = _DANGER_RULES[number]
        found += [Match(kind, hit.start(), hit.end(), 0.8) for hit in pattern.finditer(reading)]
    return found


SCANNERS = (
    Scanner(
        name="code",
        stages=("input", "output"),
        description="Program text, in fences or bare, of any language or of those that a policy names.",
        build=_code,
        threshold=0.7,
        options={
            "allow": f"languages that may pass: {', '.join(_SIGNS)}",
            "deny": "languages that may not; then all others may",
        },
    ),
    Scanner(
        name="unsafe-code",
        stages=("output", "action"),
        description="Code that wipes files, runs downloads, opens shells, evaluates input, builds SQL of text, skips checks.",
        build=plain(lambda text: found_in(text, _dangerous)),
        threshold=0.7,
        longest=512,
    ),
)
