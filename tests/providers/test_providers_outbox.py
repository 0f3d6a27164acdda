"""Writes that wait for the end of the turn: in order, together, and none twice."""

from __future__ import annotations

import asyncio
import weakref

from trimtab.providers import outbox


async def test_what_is_posted_in_one_turn_is_written_after_it_and_in_order() -> None:
    box, written = outbox(asyncio.get_running_loop()), list[str]()
    box.post(lambda: written.append("a"))
    asyncio.get_running_loop().call_soon(lambda: box.post(lambda: written.append("b")))
    assert written == []
    await asyncio.sleep(0)
    assert written == ["a"]
    await asyncio.sleep(0)
    assert written == ["a", "b"]


async def test_what_a_write_posts_is_written_in_the_next_turn() -> None:
    box, written = outbox(asyncio.get_running_loop()), list[str]()

    def first() -> None:
        written.append("first")
        box.post(lambda: written.append("later"))

    box.post(first)
    box.post(lambda: written.append("second"))
    await asyncio.sleep(0)
    assert written == ["first", "second"]
    await asyncio.sleep(0)
    assert written == ["first", "second", "later"]


async def test_a_loop_has_one_outbox() -> None:
    loop = asyncio.get_running_loop()
    assert outbox(loop) is outbox(loop)


def test_an_outbox_goes_with_its_loop() -> None:
    first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
    try:
        gone = weakref.ref(outbox(first))
        first.close()
        kept = outbox(second)  # whoever comes next clears away
        assert gone() is None
        assert outbox(second) is kept
    finally:
        second.close()
