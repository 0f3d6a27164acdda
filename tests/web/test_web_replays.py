"""The page of an incident says what replays cost, and asks before they cost more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from web_house import WebHouse, build, client_of, closing

from trimtab.core import Span
from trimtab.incidents.asking import Asking
from trimtab.incidents.spending import UNSPENT

pytestmark = pytest.mark.asyncio


async def never(_root: Span, _pins: Mapping[str, str]) -> Mapping[str, float]:
    return {}


async def asking(house: WebHouse) -> str:
    """An incident whose replays ask for more; returns the address of its page."""
    await house.healthy()
    incident = await house.break_prompt()
    desk = house.desk
    desk.asking = Asking(
        replay=never, registry=house.registry, store=house.spans, watch=house.watch, clock=house.clock,
        alter=desk._change,
    )  # fmt: skip
    spent = UNSPENT.spent(1000, 2.5, 0).asking(300)
    await desk._change(incident.id, lambda i, now: replace(i, replay=spent, state="open", mitigated_ns=0))
    return f"/incidents/{incident.id}"


async def test_the_page_says_what_replays_cost_and_a_person_allows_more(tmp_path: Path) -> None:
    with closing(await build(tmp_path)) as house:
        here = await asking(house)
        ask = client_of(house)
        text = (await ask("GET", here)).text
        assert "1,000 calls of models so far, about $2.50, of 1,000 allowed." in text
        assert "300 calls more, about $0.75, may decide." in text
        assert (await ask("POST", f"{here}/replay")).status == 303
        text = (await ask("GET", here)).text
        assert "of 1,300 allowed" in text
        assert "More were allowed; they go on within seconds." in text
        assert "operator allowed 300 calls more for replays (about $0.75)" in text
        assert "may decide." not in text
        again = await ask("POST", f"{here}/replay")
        assert again.status == 400, "nothing is being asked for any more"
        assert "nothing is being asked for" in again.text


async def test_without_replays_the_page_says_nothing_of_their_cost(tmp_path: Path) -> None:
    with closing(await build(tmp_path)) as house:
        await house.healthy()
        incident = await house.break_prompt()
        text = (await client_of(house)("GET", f"/incidents/{incident.id}")).text
        assert "What replays cost" not in text
        refused = await client_of(house)("POST", f"/incidents/{incident.id}/replay")
        assert refused.status == 409
        assert "Nothing can be asked again here" in refused.text


async def test_a_likely_layer_without_a_change_is_shown_as_likely(tmp_path: Path) -> None:
    with closing(await build(tmp_path)) as house:
        await house.healthy()
        incident = await house.break_prompt()
        report = incident.report
        assert report is not None
        open_ = report.evolve(cause=None, certainty="likely", layers=(replace(report.layers[0], layer=5, belief=0.9),))
        await house.desk._change(incident.id, lambda i, now: replace(i, report=open_, layer=5))
        ask = client_of(house)
        text = (await ask("GET", f"/incidents/{incident.id}")).text
        assert '<b class="t-warn">likely</b>' in text
        assert "likely; which of its changes did it is open." in text
        assert "likely" in (await ask("GET", "/incidents")).text
