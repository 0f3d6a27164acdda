"""Scorers of somebody's own, as a configuration lists them."""

from __future__ import annotations

import threading

from trimtab.evals import Case, Output, Verdict


async def polite(case: Case, output: Output) -> Verdict:
    return Verdict(float("please" in output.text.lower()))


#: Lets every scorer that hangs go.
RELEASE = threading.Event()


def hangs(case: Case, output: Output) -> float:
    return float(RELEASE.wait(60))


def slow(case: Case, output: Output) -> float:
    return float(threading.current_thread() is not threading.main_thread())
