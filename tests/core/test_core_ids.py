"""Ids differ: between calls, threads and forked processes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from trimtab.core import new_span_id, new_trace_id


def test_their_form() -> None:
    before = time.time_ns() // 1_000_000
    trace = new_trace_id()
    assert re.fullmatch(r"[0-9a-f]{32}", trace)
    assert before <= int(trace[:12], 16) <= time.time_ns() // 1_000_000
    assert re.fullmatch(r"[0-9a-f]{16}", new_span_id())


def test_they_differ_over_threads() -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: (new_span_id(), new_trace_id()), range(4000)))
    assert len({span for span, _ in made}) == len({trace[12:] for _, trace in made}) == 4000


def test_their_last_digits_are_spread_evenly() -> None:
    tails = [int(new_trace_id()[-13:], 16) / 16**13 for _ in range(4000)]
    for tenth in range(10):
        assert 300 < sum(tenth / 10 <= tail < (tenth + 1) / 10 for tail in tails) < 500


FORKS = """
import os
from trimtab.core import new_span_id, new_trace_id
new_span_id(), new_trace_id()  # some are left over from here
def ids():
    return f"{new_span_id()} {new_trace_id()[12:]}"
read, write = os.pipe()
if os.fork() == 0:
    os.write(write, ids().encode())
    os._exit(0)
os.wait()
print(os.read(read, 100).decode(), ids())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_has_ids_of_its_own() -> None:
    said = subprocess.run([sys.executable, "-c", FORKS], capture_output=True, text=True, check=True, timeout=60)
    span, trace, *parents = said.stdout.split()
    assert len({span, trace, *parents}) == 4
