"""A position tells whose it is, so that what reads along goes on at the end when the store was changed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from moving_clock import Clock

from trimtab.core import BadInput, Span
from trimtab.store import Batch, open_spans
from trimtab.store.bookmarks import own

P, C = "p01234567-", "c89abcdef-"


def test_a_position_is_read_behind_its_prefix() -> None:
    assert own("", P) == ""
    assert own("17", "") == "17"
    assert own(f"{P}17", P) == "17"
    assert own(f"{C}17.aaaaaaaaaaaa-19", C) == "17.aaaaaaaaaaaa-19"
    assert [own("17", P), own(f"{P}17", ""), own(f"{P}17", C), own(f"{C}17", "c00000000-")] == [None] * 4


@pytest.mark.parametrize(
    "text", ["x", "1.", "-1", "p0123456-1", f"{P}", f"{P}x", f"{C}1.a-1", f"{C}1.AAAAAAAAAAAA-1", "1\n"]
)
@pytest.mark.parametrize("prefix", ["", P, C])
def test_what_is_no_position_is_refused(text: str, prefix: str) -> None:
    with pytest.raises(BadInput) as caught:
        own(text, prefix)
    assert caught.value.field == "position"


@pytest.mark.parametrize("kind", ["sqlite", "postgresql", "clickhouse"])
async def test_a_position_of_another_store_means_the_end(
    kind: str, tmp_path: Path, clock: Clock, make_span: Callable[..., Span], request: pytest.FixtureRequest
) -> None:
    fixture = {"postgresql": "postgres_url", "clickhouse": "clickhouse_url"}
    url = request.getfixturevalue(fixture[kind]) if kind in fixture else "sqlite:"
    with closing(open_spans(url, tmp_path / "spans", clock=clock)) as store:
        await store.write([make_span()])
        for foreign in {"17", f"{P}17", f"{C}17"} - ({"17"} if kind == "sqlite" else set()):
            batch = await store.tail(foreign)
            assert batch == Batch(spans=(), scores=(), position=batch.position)
            await store.write([later := make_span()])
            assert (await store.tail(batch.position)).spans == (later,)
