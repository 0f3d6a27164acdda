"""The page Evaluations shows the scorers of live traffic, and the form of a monitor offers their scores."""

from __future__ import annotations

from pathlib import Path

from web_house import build, client_of, closing

from trimtab.core import Score
from trimtab.evals.sampling import drawn_label

HOSTILE = "<script>window.pwned=1</script>"


async def test_live_scorers_show_what_they_see_spend_and_say(tmp_path: Path) -> None:
    with closing(await build(tmp_path)) as house:
        client = client_of(house)
        assert "Live scorers" not in (await client("GET", "/evals")).text
        judge = {"kind": "judge", "name": "tone", "model": "scripted/judge", "rubric": "Be kind.", "sample": 0.25,
                 "budget_usd": 2, "each": True, "criteria": [{"name": HOSTILE, "text": "It is kind."}]}  # fmt: skip
        for name, scorers in (("support", ["exact", judge]), ("lost", [{"kind": "judge", "judge": "judges:/nobody"}])):
            version = await house.registry.register("scorers", name, {"scorers": scorers})
            await house.registry.move_label("scorers", name, "production", version.number, actor="mara")
        now = house.clock()
        await house.spans.write(scores=[
            Score(id=f"{name}{n}", trace_id=f"{n:032x}", name=name, value=float(n % 4 > 0), by="scorers:support",
                  by_version="support/1", time_ns=now, label=drawn_label(0.25))
            for n in range(40) for name in ("support.tone", f"support.tone.{HOSTILE}", "unlisted.score")
        ])  # fmt: skip
        await house.spans.flush()
        shown = (await client("GET", "/evals")).text
        assert "Live scorers, last 24 hours" in shown
        assert 'href="/assets/scorers/support"' in shown
        assert "25%, up to 75%" in shown
        assert "0 ¢ of $2.00" in shown
        assert "75 % (" in shown or "75% (" in shown
        assert "nobody" in shown
        assert "unlisted.score" not in shown
        assert HOSTILE not in shown
        form = (await client("GET", "/monitors?form=new")).text
        assert '<option value="support.tone"' in form
        assert "Live scorer: support.exact" in form
        assert (await client("GET", "/assets/scorers/support")).status == 200
