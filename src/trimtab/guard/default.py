"""The policy that a new data folder starts with: a handful of patterns that are seldom wrong.

Text patterns stop the attacks that announce themselves and no others; they are a first fence, not a proof.
"""

from __future__ import annotations

from typing import Any

_KEYS = [
    r"\bsk-[A-Za-z0-9_-]{20,}",  # OpenAI, Anthropic and those who copied the form
    r"\btt-[A-Za-z0-9_-]{20,}",  # Trimtab
    r"\bAKIA[0-9A-Z]{16}\b",  # AWS
    r"\bgh[pousr]_[A-Za-z0-9]{36,}",  # GitHub
    r"\bxox[abprs]-[A-Za-z0-9-]{10,}",  # Slack
    r"\bAIza[0-9A-Za-z_-]{35}",  # Google
    r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}",  # JSON web token
]
_PRIVATE_KEY = [r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----"]

_API_KEY_RULE: dict[str, Any] = {
    "name": "api-key",
    "patterns": _KEYS,
    "action": "redact",
    "reason": "It looks like a secret key or token.",
}
_PRIVATE_KEY_RULE: dict[str, Any] = {
    "name": "private-key",
    "patterns": _PRIVATE_KEY,
    "action": "block",
    "reason": "It holds a private key.",
    "message": "The guard stopped this: it holds a private key.",
}

DEFAULT_POLICY: dict[str, Any] = {
    "stages": {
        "input": [
            {
                "name": "prompt-injection",
                "patterns": [
                    r"(?i)\b(?:ignore|disregard|forget|override|bypass)\b[^.?!\n]{0,30}"
                    r"\b(?:previous|prior|above|earlier|preceding|your|system)\b[^.?!\n]{0,20}"
                    r"\b(?:instructions?|prompts?|rules|directions|guidelines|safeguards)\b",
                    r"(?i)\byou are (?:now )?(?:DAN\b|unrestricted|unfiltered|jailbroken|in developer mode)",
                    r"(?i)\b(?:enable|enter|activate|switch to)\s+(?:developer|DAN|jailbreak|god)\s+mode\b",
                    r"(?i)<\|(?:im_start|im_end|system|endoftext)\|>",
                ],
                "action": "block",
                "reason": "It tries to override the instructions of the application.",
                "message": "The guard stopped this: it tries to override the instructions of the assistant.",
            },
            {
                "name": "prompt-extraction",
                "patterns": [
                    r"(?i)\b(?:reveal|show|print|repeat|output|display|tell|give|leak|dump|write)\b[^.?!\n]{0,30}"
                    r"\byour\s+(?:full\s+|exact\s+|entire\s+|own\s+)?(?:system|hidden|initial|secret|original)\s+"
                    r"(?:prompt|instructions?|message)\b",
                    r"(?i)\brepeat\s+(?:everything|all|the\s+(?:text|words))\s+above\b",
                ],
                "action": "block",
                "reason": "It asks for the hidden instructions of the application.",
                "message": "The guard stopped this: it asks for the hidden instructions of the assistant.",
            },
            _API_KEY_RULE,
            _PRIVATE_KEY_RULE,
        ],
        "output": [
            _API_KEY_RULE,
            _PRIVATE_KEY_RULE,
            {
                "name": "card-number",
                "patterns": [
                    r"\b[3-6]\d{3}[ -]?\d{4}[ -]?\d{4}[ -]?\d{1,7}\b",
                    r"\b3[47]\d{2}[ -]?\d{6}[ -]?\d{5}\b",
                ],
                "action": "redact",
                "check": "luhn",
                "reason": "It is a payment card number.",
            },
        ],
    },
    "fail": "closed",
}
