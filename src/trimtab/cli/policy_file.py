"""A guard policy, or the content of another asset, in a file of YAML or JSON."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from trimtab.core import BadInput


def decoded(path: Path) -> Any:
    """What a file says. Raises BadInput."""
    try:
        return YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except (YAMLError, UnicodeDecodeError, RecursionError) as error:
        reason = str(error).partition("\n")[0]
        raise BadInput(
            f"is not YAML: {reason}", field=str(path), mend="Check indentation, colons and quotes."
        ) from None


def content_of(path: Path) -> Mapping[str, Any]:
    """The content of a policy file. Raises BadInput."""
    content = decoded(path)
    if not isinstance(content, Mapping):
        raise BadInput("is not an object", field=str(path), mend="Write stages: {input: [...], output: [...]}.")
    return content
