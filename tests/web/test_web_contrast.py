"""Colours, read from the stylesheet: text can be read, and the five layers can be told apart by everybody."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest

import trimtab.web

STYLE = (Path(trimtab.web.__file__).parent / "static" / "style.css").read_text()
RGB = tuple[float, float, float]

#: Text on ground, as the pages use them.
PAIRS = [
    *itertools.product(("ink", "ink-2", "ink-3"), ("bg", "surface", "sunken", "code")),
    *itertools.product(("ink", "ink-2"), ("accent-soft", "bad-soft", "warn-soft", "ok-soft", "add", "del")),
    ("accent", "surface"), ("accent", "bg"), ("accent", "accent-soft"), ("on-accent", "accent"),
    *((state, ground) for state in ("bad", "warn", "ok") for ground in ("surface", "bg", f"{state}-soft")),
    ("on-layer", "bad"), *(("on-layer", f"l{n}") for n in range(1, 6)),
]  # fmt: skip

#: Machado, Oliveira and Fernandes (2009), severity 1, on linear RGB.
BLINDNESS = {
    "none": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protan": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deutan": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritan": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}


def tokens(theme: str) -> dict[str, RGB]:
    block = re.search(r":root \{(.*?)\n\}" if theme == "light" else r'\[data-theme="dark"\] \{(.*?)\n\}', STYLE, re.S)
    assert block
    found = re.findall(r"--([a-z0-9-]+): #([0-9a-f]{6});", block[1])
    return {name: tuple(int(value[i : i + 2], 16) / 255 for i in (0, 2, 4)) for name, value in found}  # type: ignore[misc]


def linear(colour: RGB) -> RGB:
    return tuple(c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour)  # type: ignore[return-value]


def contrast(one: RGB, two: RGB) -> float:
    """WCAG 2.2."""
    lights = sorted(sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear(x), strict=True)) for x in (one, two))
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def oklab(rgb: RGB) -> RGB:
    """Ottosson (2020), of linear RGB."""
    r, g, b = (max(0.0, c) for c in rgb)
    long = (0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b) ** (1 / 3)
    middle = (0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b) ** (1 / 3)
    short = (0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b) ** (1 / 3)
    return (
        0.2104542553 * long + 0.7936177850 * middle - 0.0040720468 * short,
        1.9779984951 * long - 2.4285922050 * middle + 0.4505937099 * short,
        0.0259040371 * long + 0.7827717662 * middle - 0.8086757660 * short,
    )


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_pair_of_text_and_ground_can_be_read(theme: str) -> None:
    colours = tokens(theme)
    low = {
        f"{text} on {ground}": round(value, 2)
        for text, ground in PAIRS
        if (value := contrast(colours[text], colours[ground])) < 4.5
    }
    assert not low


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_layer_colours_stand_out_and_differ_for_every_kind_of_sight(theme: str) -> None:
    colours = tokens(theme)
    layers = [colours[f"l{n}"] for n in range(1, 6)]
    assert min(contrast(layer, colours["surface"]) for layer in layers) >= 4.5
    for name, matrix in BLINDNESS.items():
        seen = [
            oklab(tuple(sum(m * c for m, c in zip(row, linear(layer), strict=True)) for row in matrix))  # type: ignore[arg-type]
            for layer in layers
        ]
        for one, two in itertools.combinations(seen, 2):
            distance = sum((a - b) ** 2 for a, b in zip(one, two, strict=True)) ** 0.5 * 100
            assert distance >= 9, (name, distance)


def test_both_themes_define_the_same_tokens() -> None:
    assert set(tokens("light")) == set(tokens("dark"))


def test_deviation_grows_away_from_the_ground() -> None:
    for theme in ("light", "dark"):
        colours = tokens(theme)
        steps = [contrast(colours[f"h{n}"], colours["surface"]) for n in range(6)]
        assert steps == sorted(steps)


def test_colours_are_written_in_the_tokens_only() -> None:
    rules = STYLE.partition("/* ---------- 2 base")[2]
    assert set(re.findall(r"#[0-9a-fA-F]{3,8}\b(?![^{]*\{)", rules)) <= {"#fff"}  # the paper of a print
