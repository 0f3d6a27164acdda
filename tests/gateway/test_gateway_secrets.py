"""Canaries: the vendor's key and our own are looked for wherever they could come to light."""

from __future__ import annotations

import logging

import pytest
from gateway_house import VENDOR_KEY, House, http_reply, piece, sse_reply, user


async def test_no_key_ever_comes_to_light(house: House, caplog: pytest.LogCaptureFixture) -> None:
    """The vendor does its worst: it quotes the authorization header, in an error, in a stream, and in an answer."""
    caplog.set_level(logging.DEBUG)
    quote = f"Incorrect API key provided: {VENDOR_KEY}"
    whole = {"choices": [{"message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}]}
    answers = []
    for reply in (
        http_reply(401, {"error": {"message": quote}}),
        http_reply(500, {"error": {"message": quote}}),
        sse_reply(piece("a" * 300), {"error": {"message": quote}}),
        sse_reply(piece("half"), done=False),
        [b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 5\r\n\r\n{oops"],
        http_reply(200, whole),
        http_reply(200, {"choices": [{"message": {"role": "assistant", "content": f"The key is {VENDOR_KEY}."}}]}),
    ):
        house.vendor.reply = lambda headers, body, reply=reply: reply
        await house.publish("routes", "once", {"targets": [{"model": "vendor/m"}], "attempts": 1})
        for stream in (False, True):
            answers.append(await house.ask({"model": "once", "messages": user("x"), "stream": stream}))
    assert all(f"Bearer {VENDOR_KEY}" == headers["authorization"] for headers, _ in house.vendor.asked)
    wrong = "tt-" + "canarycanary" * 3
    answers.append(await house.ask({"model": "plain", "messages": user("x")}, key=wrong))
    answers.append(await house.ask(b"{" + house.secret.encode()))
    await house.ask({"model": "plain", "messages": user(f"my key is {house.secret}")})
    spans = await house.everything()
    assert len(spans) > 12
    said = repr(spans) + caplog.text + repr(house.keys.list())
    for answer in answers:
        said += repr(answer.headers) + answer.body.decode()
    for canary in (VENDOR_KEY, VENDOR_KEY[:14], house.secret, wrong):
        assert canary not in said
    assert "Bearer" not in repr(spans) + caplog.text
