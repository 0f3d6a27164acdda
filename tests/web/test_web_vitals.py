"""Readiness and figures do not hang on a database: what serves models from memory is ready."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from web_house import WebHouse, client_of

from trimtab.core import Overloaded


async def _frozen(*_: Any, **__: Any) -> Any:
    await asyncio.Event().wait()


async def _refused(*_: Any, **__: Any) -> Any:
    raise Overloaded("The database does not answer.")


@pytest.mark.parametrize("away", [_frozen, _refused])
async def test_a_server_is_ready_while_its_databases_are_away(
    house: WebHouse, monkeypatch: pytest.MonkeyPatch, away: Any
) -> None:
    monkeypatch.setattr("trimtab.web.vitals.ANSWER_S", 0.05)
    monkeypatch.setattr(house.spans, "query", away)
    monkeypatch.setattr(house.spans, "span_series", away)
    monkeypatch.setattr(house.desk, "list", away)
    client = client_of(house)
    ready = await client("GET", "/readyz")
    assert ready.status == 200
    assert ready.text.startswith("ready\n")
    assert "but: the span store does not answer" in ready.text
    assert "but: the metadata database does not answer" in ready.text
    told = await client("GET", "/metrics")
    assert told.status == 200
    assert "trimtab_degraded 2" in told.text
    assert "trimtab_event_loop_lag_seconds" in told.text
    assert "trimtab_requests{" not in told.text, "what is not known is not 0"
