"""Ids of responses that a provider keeps: signed for one key, read by every process, and by no other key."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.gateway import Handles, Key
from trimtab.gateway.handles import LONGEST, Handle

HANDLES = Handles(b"s" * 32)
TEXTS = st.text(max_size=60)
MADE = st.builds(Handle, TEXTS, TEXTS, TEXTS, st.sampled_from(["", "a" * 32]), st.integers(0, 1 << 62))


def key(name: str) -> Key:
    return Key(id=name, name=name, prefix="")


@given(MADE, st.text(min_size=1, max_size=20))
def test_an_id_leads_back_for_its_key_alone(handle: Handle, name: str) -> None:
    ident = HANDLES.write(key(name), handle)
    assert ident == Handles(b"s" * 32).write(key(name), handle)  # in every process, and each time
    if len(ident) > LONGEST:
        return
    assert Handles(b"s" * 32).read(key(name), ident) == handle
    assert HANDLES.read(key(name + "x"), ident) is None
    assert Handles(b"t" * 32).read(key(name), ident) is None


@given(MADE, st.data())
def test_a_changed_id_opens_nothing(handle: Handle, data: st.DataObject) -> None:
    ident = HANDLES.write(key("app"), handle)
    at = data.draw(st.integers(0, len(ident) - 2))  # the last letter may hold bits that say nothing
    letter = data.draw(st.sampled_from("Aa0_-!é "))
    changed = ident[:at] + letter + ident[at + 1 :]
    if changed != ident:
        assert HANDLES.read(key("app"), changed) is None
    assert HANDLES.read(key("app"), ident[: at + 1]) is None


@given(st.one_of(st.text(), st.text("abcXYZ019_-").map("resp_".__add__), st.integers(), st.none()))
def test_whatever_was_never_handed_out_is_nothing(written: object) -> None:
    assert HANDLES.read(key("app"), written) is None


def test_the_signature_tells_key_and_content_apart() -> None:
    """No key's name runs over into what is signed."""
    one = HANDLES.write(key("a"), Handle("p/m", "m", "resp_1"))
    assert HANDLES.read(key("a\0"), one) is None
    assert HANDLES.read(key(""), one) is None
    assert len(one) < 100


@pytest.mark.parametrize("size", [LONGEST - 4, 1_000_000])
def test_endless_ids_are_not_read(size: int) -> None:
    assert HANDLES.read(key("app"), "resp_" + "A" * size) is None
