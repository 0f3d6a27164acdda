"""Evaluation and review in the house of the web tests: two runs, a calibrated judge, a dataset, a queue at work."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import msgspec

from trimtab.evals import (
    Calibration,
    Case,
    Label,
    Output,
    Run,
    Scored,
    calibrate,
    calibrate_pairs,
    plain,
    split_labels,
)
from trimtab.evals.run_reports import labels_with_ids
from trimtab.review import Plan

HOSTILE = "<script>window.pwned=1</script><img src=x onerror=window.pwned=2>\"'><svg onload=window.pwned=3>"
JUDGE, PAIR_JUDGE = "a1b2c3d4e5f6", "b2c3d4e5f6a1"
CASES = 60


def cases() -> list[Case]:
    """Sixty questions, one of them hostile in every field."""
    found = [
        Case(id=f"refund-{n:03d}", input=f"May I return item {n}?", expected="Within 30 days.", split="test" if n % 3
             else "dev", answer=f"Yes, item {n} within 30 days [1].", origin="human", tags={"topic": "billing"})
        for n in range(CASES - 1)
    ]  # fmt: skip
    return [
        *found,
        Case(id=HOSTILE, input=HOSTILE, expected=HOSTILE, answer=HOSTILE, note=HOSTILE, split="test",
             tags={HOSTILE: HOSTILE}, origin=HOSTILE, group=HOSTILE,
             passages=[{"title": HOSTILE, "text": HOSTILE, "source": HOSTILE}]),
    ]  # fmt: skip


async def add_run(
    house: Any, run_id: str, name: str, *, worse: bool = False, judge: str = JUDGE, state: str = "done", kind: str = "",
) -> Run:  # fmt: skip
    """A run in the log as the runner would have left it: a judge's score and a check's."""
    asked, now = cases(), house.clock()
    run = Run(
        id=run_id, name=name, state=state, actor=HOSTILE if worse else "mara", time_ns=now, started_ns=now,
        ended_ns=now if state == "done" else 0, dataset="support-cases/1", digest="d1",
        plan={"target": {"prompt": "support-answer/1", "model": "scripted/steady"}, **({"kind": kind} if kind else {})},
        scorers=[{"name": "quality", "digest": "q", "judge": judge}, {"name": "cites", "digest": "c", "judge": ""}],
        progress={"total": CASES, "done": CASES if state == "done" else 20, "errors": 1, "cost_usd": 0.0421,
                  "left_s": 90.0},
    )  # fmt: skip
    await house.reports.log.add(run, asked)
    outputs, scores = [], []
    for n, case in enumerate(asked[: 20 if state == "running" else CASES]):
        text = Output(text=case.answer, question=case.input).to_json().decode()
        outputs.append({"run": run_id, "case": case.id, "repeat": 0, "output": text, "cost_usd": 0.0007,
                        "error": "the provider did not answer" if n == 7 else ""})  # fmt: skip
        if n == 7:
            continue
        bad = n % 10 == 0 or case.id == HOSTILE or (worse and n % 3 == 0)
        for score, value, by in (("quality", float(not bad), judge), ("cites", float(n % 12 > 0), "")):
            scores.append({"run": run_id, "case": case.id, "repeat": 0, "name": score, "judgement": 0, "value": value,
                           "reason": HOSTILE if bad else "", "judge": by, "detail": msgspec.json.encode({}).decode(),
                           "scorer": score})  # fmt: skip
    await house.reports.log.write(outputs, scores)
    return run


async def add_calibration(house: Any) -> Calibration:
    """Two experts' labels, and a judge that agrees with them but for three cases of the test side."""
    labels, verdicts = [], []
    for n in range(400):
        good, by = n % 3 > 0, ("mara", "jonas")[n % 2]
        labels.append(Label(case=f"k{n}", value=float(good), by=by, critique="" if good else "wrong rule", time_ns=n))
        if n % 5 == 0:
            labels.append(Label(case=f"k{n}", value=float(good), by="ilse", time_ns=n))
        verdicts.append(Scored(case=f"k{n}", value=float(good != (n % 90 == 0)), judge=JUDGE))
    texts = {f"k{n}": "word " * (n % 17 + 1) for n in range(400)}
    found = calibrate(
        labels, {"": verdicts}, judge=JUDGE, split=split_labels(labels), texts=texts, model=HOSTILE,
        time_ns=house.clock(),
    )  # fmt: skip
    await house.reports.people.add_calibration("quality", plain(found), pin="support-cases/1", dataset="support-cases")
    await house.reports.people.add_labels(
        "support-cases",
        labels_with_ids("support-cases", [Label(case=f"refund-{n:03d}", value=1.0, by="mara") for n in range(1, 9)]),
    )
    return found


async def add_pairs(house: Any) -> Calibration:
    """A judge that compares, is pulled to the first place, and prefers what is longer."""
    labels, scores, orders, texts = [], [], {}, {}
    for n in range(200):
        case, better = f"pair{n}", float(n % 2)
        labels.append(Label(case=case, value=0.5 if n % 20 == 0 else better, by="mara"))
        both = (1.0, 0.0) if n % 4 == 1 else (better, better)
        orders[case] = both
        scores.append(Scored(case=case, value=both[0] if both[0] == both[1] else 0.5, judge=PAIR_JUDGE))
        texts[case] = ("word " * (n % 7 + 1), "word " * (n % 5 + 1))
    found = calibrate_pairs(
        labels, scores, orders, judge=PAIR_JUDGE, split=split_labels(labels), texts=texts, model=HOSTILE,
        time_ns=house.clock(),
    )  # fmt: skip
    await house.reports.people.add_calibration("prefer", plain(found), pin="pairs/1", dataset="pairs")
    return found


async def tell_evaluation(house: Any, trace: str) -> list[str]:
    """Runs, a judge, a dataset and queues; returns the addresses of their pages."""
    content = {"cases": [case.content for case in cases()]}
    await house.registry.register("datasets", "support-cases", content, author="mara", note=HOSTILE)
    await house.registry.move_label("datasets", "support-cases", "production", 1, actor="mara", note="")
    golden = [
        {"input": f"Golden {n}?", "answer": f"Answer {n}.", "expected": "fail" if n % 2 else "pass"} for n in range(24)
    ]
    await house.registry.register("datasets", "golden", {"cases": golden, "kind": "golden"}, author="ilse")
    attacks = {"cases": [{"input": HOSTILE}, {"input": "Golden 3?"}], "kind": "adversarial"}
    await house.registry.register("datasets", "attacks", attacks, author="ilse")
    rubric = {"rubric": HOSTILE, "model": "scripted/judge"}
    await house.registry.register("judges", "tone", rubric, author="ilse", note="new")
    await add_run(house, "run_old", "v1 of the prompt")
    await add_run(house, "run_new", HOSTILE, worse=True)
    await add_run(house, "run_other", "another judge", judge="ffff00001111")
    await add_run(house, "run_going", "tonight", state="running")
    await add_run(house, "run_attacks", "attacks", kind="adversarial")
    await add_calibration(house)
    await add_pairs(house)
    queue = await house.reviews.create(
        Plan.of({
            "name": HOSTILE, "source": {"traces": [trace]}, "experts": ["mara", HOSTILE], "note": HOSTILE,
            "criteria": [{"name": "grounded", "ask": HOSTILE}, {"name": "helps", "ask": "Would it help?"}],
        }),
        "ilse",
    )  # fmt: skip
    done = await house.reviews.create(
        Plan.of({
            "name": "refunds", "source": {"run": "run_new", "limit": 6}, "experts": ["mara", "jonas"],
            "planted": "datasets:/golden/1", "plant": 20,
        }),
        "ilse",
    )  # fmt: skip
    items = {item.position: item for item in await house.reviews.log.items(done.id)}
    began_ns = house.clock.ns  # what other tests call new must not have grown old meanwhile
    for who in ("mara", "jonas"):
        for mark in await house.reviews.log.marks(done.id, who):
            known = items[mark.position].known
            bad = known == "bad" if known else (who == "mara")
            house.clock.ns += 20 * 10**9
            await house.reviews.save(
                done.id, who, mark.position, {"": 0.0 if bad else 1.0}, HOSTILE if bad else "",
                shown_ns=house.clock.ns - 20 * 10**9,
            )  # fmt: skip
        await house.reviews.finish(done.id, who)
    house.clock.ns = began_ns
    name = quote(HOSTILE, safe="")
    return [
        "/evals", f"/evals?name={name}", "/evals/run_old", "/evals/run_new", "/evals/run_new?show=all",
        "/evals/run_going", "/evals/compare?a=run_old&b=run_new", "/evals/compare?a=run_old&b=run_other&margin=3",
        "/evals/compare?a=run_old&b=run_new&score=cites", "/evals/judges", "/evals/judges/quality",
        "/evals/judges/tone", "/evals/judges/prefer", "/evals/run_attacks", "/evals?kind=golden",
        "/evals?kind=sampled",
        "/evals/datasets/attacks", "/evals/datasets/support-cases",
        f"/evals/datasets/support-cases?q={name}&split=test",
        "/review", "/review?who=mara", f"/review/{queue.id}?who=mara", f"/review/{queue.id}?who={name}",
        f"/review/{queue.id}/report?who=mara", f"/review/{done.id}/end?who=mara", f"/review/{done.id}/report",
        f"/review/{done.id}/settle?who=ilse",
    ]  # fmt: skip
