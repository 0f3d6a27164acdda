"""What the pages of evaluation say: kinds of datasets, judges that compare, and how a rate was corrected."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from web_evaluation import HOSTILE, add_calibration, add_pairs
from web_house import Page, Story, build, closing, tell

from trimtab.core import Version
from trimtab.evals import KINDS, Judge, Pair
from trimtab.web.pages.judges import digest_of


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def story(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Story]:
    """Told once: its tests only read."""
    with closing(await build(tmp_path_factory.mktemp("evaluation"))) as house:
        yield await tell(house)


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def text(story: Story, path: str) -> str:
    answer = await story.client("GET", path)
    assert answer.status == 200, path
    return " ".join(" ".join(Page(answer.text).text).split())


async def test_a_judge_that_compares_shows_preferences_order_and_bias_with_intervals(story: Story) -> None:
    said = await text(story, "/evals/judges/prefer")
    found = (await add_pairs(story.house)).criteria[0]
    assert found.pairs is not None
    for part in ("Against people's preferences", "Changes with the order", "25 %", "20 to 31, n 200",
                 "Picks the first place", "Position", "pairs pulled to the first place", "Length", "Agrees with people",
                 f"{found.cases} labels held out"):  # fmt: skip
        assert part in said, part
    assert "Finds bad answers" not in said
    single = await text(story, "/evals/judges/quality")
    assert "Finds bad answers" in single
    assert "Changes with the order" not in single


async def test_a_judge_of_pairs_is_told_by_the_digest_that_its_scores_carry(story: Story) -> None:
    content = {"model": "scripted/judge", "rubric": "Which is better?"}
    version = Version(kind="judges", name="prefer", number=1, digest="", content=content)
    pairs, single = await add_pairs(story.house), await add_calibration(story.house)
    assert digest_of(version, [pairs]) == Pair(version, None).judge  # type: ignore[arg-type]
    assert digest_of(version, [single]) == digest_of(version, []) == Judge(version, None).judge  # type: ignore[arg-type]
    assert digest_of(None, [pairs]) == pairs.judge
    assert digest_of(None, []) == ""


async def test_a_dataset_says_what_it_is_for_and_what_leaks_from_golden_sets(story: Story) -> None:
    said = await text(story, "/evals/datasets/attacks")
    assert KINDS["adversarial"] in said
    assert "no split and golden set golden" in said
    assert HOSTILE not in (await story.client("GET", "/evals/datasets/attacks")).text
    listed = await text(story, "/evals")
    assert all(name in listed for name in ("support-cases", "attacks", "not said"))
    golden = await text(story, "/evals?kind=golden")
    sets = golden[golden.index("Datasets All") :]
    assert "24" in sets
    assert "support-cases" not in sets
    assert "No dataset is sampled" in await text(story, "/evals?kind=sampled")
    assert (await story.client("GET", "/evals?kind=gold")).status == 400


async def test_a_run_on_attacks_shows_their_success_and_how_each_judge_was_corrected(story: Story) -> None:
    said = await text(story, "/evals/run_attacks")
    assert "Attack success" in said
    assert "Corrected by labels" in said
    assert "PPI++, 8 labels" in said or "Rogan-Gladen, 200 labels" in said
    assert "Attack success" not in await text(story, "/evals/run_old")
