"""Types described before threads need them."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys, threading
from dataclasses import make_dataclass
import msgspec
from trimtab.core import described
sys.setswitchinterval(1e-6)
for n in range(30):
    inner = make_dataclass("Inner", [(f"a{k}", int, k) for k in range(40)])
    kind = described(make_dataclass("Outer", [(f"b{k}", inner | None, None) for k in range(40)]))
    barrier = threading.Barrier(4)
    def convert():
        barrier.wait()
        for _ in range(3):
            msgspec.convert({"b0": {"a0": 1}}, kind)
    threads = [threading.Thread(target=convert) for _ in range(4)]
    [t.start() for t in threads]
    [t.join() for t in threads]
print("whole")
"""


def test_threads_may_convert_to_a_described_type_at_once() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (0, "whole\n"), done.stderr
