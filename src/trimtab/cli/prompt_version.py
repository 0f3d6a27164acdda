"""Finding a version of a prompt by what is written on the command line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trimtab.core import BadInput, parse_address

from .remote import Remote


def find_version(remote: Remote, text: str) -> dict[str, Any]:
    """The version at ``NAME`` (the live one), ``NAME@LABEL`` or ``NAME/NUMBER``."""
    address = parse_address(text, "prompts")
    number = address.number
    if not number:
        labels: Mapping[str, int] = remote.get(f"/api/versions/prompts/{address.name}", limit=1)["labels"]
        number = labels.get(address.label, 0)
        if not number:
            mend = f"Name a version: {address.name}/1."
            raise BadInput(f"{address.name} has no label {address.label}.", field="prompt", mend=mend)
    found: dict[str, Any] = remote.get(f"/api/versions/prompts/{address.name}/{number}")
    return found
