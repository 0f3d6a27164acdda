"""Own prices in the file: read, checked, and known to every room of the house."""

from __future__ import annotations

from pathlib import Path

import pytest

from trimtab.config import OwnPrice, load
from trimtab.core import ConfigError, Usage
from trimtab.traces import BOOK, price
from trimtab.wiring.pricing import set_prices

FILE = "providers:\n  local: {kind: vllm, base_url: http://10.0.0.7:8000/v1}\nprices:\n  %s\n"


def written(folder: Path, line: str) -> Path:
    path = folder / "trimtab.yaml"
    path.write_text(FILE % line)
    return path


def test_own_prices_reach_every_room(tmp_path: Path) -> None:
    config = load(written(tmp_path, "local/llama: {input: 0.1, output: 0.2}"), {})
    assert config.prices == {"local/llama": OwnPrice(input=0.1, output=0.2)}
    usage = Usage(input_tokens=10_000, output_tokens=1000)
    try:
        set_prices(config)
        assert price("local/llama", usage) == pytest.approx(0.0012)
        assert price("local/gpt-4o", usage) is None, "a vendor's price is wrong for one's own machine"
    finally:
        BOOK.configure({}, {})
    assert price("local/llama", usage) is None


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ("elsewhere/llama: {input: 1, output: 2}", "prices.elsewhere/llama"),
        ("local: {input: 1, output: 2}", "prices.local"),
        ("local/llama: {input: -1, output: 2}", "prices.local/llama.input"),
        ("local/llama: {input: 1, output: 2e6}", "prices.local/llama.output"),
        ("local/llama: {input: 1, output: 2, cached: .nan}", "prices.local/llama.cached"),
    ],
)
def test_a_wrong_price_names_its_field_and_the_mend(tmp_path: Path, line: str, field: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load(written(tmp_path, line), {})
    assert refused.value.field == field
    assert refused.value.mend
