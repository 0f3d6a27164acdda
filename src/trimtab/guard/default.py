"""The policy that a new data folder starts with: scanners and a handful of patterns that are seldom wrong.

Text patterns stop the attacks that announce themselves and no others; they are a first fence, not a proof.
"""

from __future__ import annotations

from typing import Any

#: The policy where nothing names another.
DEFAULT_ADDRESS = "guards:/default@production"
#: The dataset that keeps requests which were stopped wrongly, and the score of such a block.
WRONG_BLOCKS, WRONG_BLOCK = "guard-benign", "wrong_block"

_API_KEY: dict[str, Any] = {
    "scanner": "secrets",
    "name": "api-key",
    "action": "redact",
    "options": {"skip": ["private-key"]},
    "reason": "It looks like a secret key or token.",
}
_PRIVATE_KEY: dict[str, Any] = {
    "scanner": "secrets",
    "name": "private-key",
    "action": "block",
    "options": {"only": ["private-key"]},
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
            {
                "scanner": "injection",
                "action": "block",
                "reason": "It reads like an attempt to override, free or question the assistant.",
                "message": "The guard stopped this: it reads like an attack on the assistant.",
            },
            {
                "scanner": "indirect-injection",
                "action": "flag",
                "reason": "A document or a tool result may speak to the model.",
            },
            {
                "scanner": "indirect-injection",
                "name": "indirect-injection-removed",
                "action": "redact",
                "threshold": 0.7,
                "reason": "A document or a tool result speaks to the model.",
            },
            {
                "scanner": "conversation",
                "action": "block",
                "reason": "The conversation as a whole leads to something harmful.",
                "message": "The guard stopped this: the conversation leads to something harmful.",
            },
            _API_KEY,
            _PRIVATE_KEY,
            {"scanner": "invisible-text", "action": "flag", "reason": "It holds writing that nobody sees."},
        ],
        "output": [
            _API_KEY,
            _PRIVATE_KEY,
            {
                "scanner": "personal",
                "name": "card-number",
                "action": "redact",
                "options": {"kinds": ["card-number"]},
                "reason": "It is a payment card number.",
            },
            {
                "scanner": "prompt-leak",
                "action": "redact",
                "threshold": 0.8,
                "reason": "It quotes most of the hidden instructions of the application.",
            },
            {
                "scanner": "links",
                "action": "redact",
                "threshold": 0.9,
                "reason": "It is an address that carries data away or runs code.",
            },
        ],
        "action": {
            # A value that an order from outside names waits for a person: an attack, or a bill that is to be paid.
            # Everything else is flagged at most: the applications behind a new gateway have not said yet what their
            # tools may do, so that what looks wrong is no proof.
            "at_most": {
                "dictated": "escalate",
                "provenance": "flag",
                "schema": "flag",
                "unknown-tool": "flag",
                "shadowing": "flag",
                "changed-tool": "flag",
                "limit": "flag",
                "loop": "flag",
                "thought-injection": "flag",
            },
        },
    },
    "fail": "closed",
    "budget": {"false_positives": 0.01},
}
