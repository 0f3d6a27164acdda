"""The steps of the controller of a route that plans, noted for the trace of a request."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from trimtab.dual import Refused
from trimtab.dual.controller import Spanning


@dataclass(slots=True)
class Noted:
    """A step of the controller for the trace; the methods are those of the SDK's spans."""

    name: str
    attributes: dict[str, Any]
    since_ns: int
    input: str = ""
    output: str = ""
    status: Literal["ok", "error"] = "ok"

    def set_inputs(self, value: Any) -> None:
        """What it was given."""
        self.input = _text(value)

    def set_outputs(self, value: Any) -> None:
        """What came of it."""
        self.output = _text(value)

    def set_attribute(self, key: str, value: Any) -> None:
        """One more attribute."""
        self.attributes[key] = value

    def set_status(self, status: str) -> None:
        """``ERROR`` where it was refused."""
        self.status = "error" if status == "ERROR" else "ok"


def noting(steps: list[Noted], clock: Callable[[], int]) -> Spanning:
    """What a controller notes its steps with; ``clock`` gives nanoseconds since 1970."""

    @contextmanager
    def span(name: str, kind: str, attributes: Mapping[str, Any]) -> Iterator[Noted]:
        noted = Noted(name, dict(attributes), clock())
        steps.append(noted)
        try:
            yield noted
        except Refused:
            noted.status = "error"
            raise

    return span


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
