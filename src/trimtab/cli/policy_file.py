"""A guard policy in a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from trimtab.core import BadInput


def content_of(path: Path) -> Mapping[str, Any]:
    """The content of a policy file. Raises BadInput."""
    try:
        content = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except (YAMLError, UnicodeDecodeError) as error:
        reason = str(error).partition("\n")[0]
        raise BadInput(
            f"is not YAML: {reason}", field=str(path), mend="Check indentation, colons and quotes."
        ) from None
    if not isinstance(content, Mapping):
        raise BadInput("is not an object", field=str(path), mend="Write stages: {input: [...], output: [...]}.")
    return content
