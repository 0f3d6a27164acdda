"""A process that scans long texts for the server: ``python -m trimtab.guard.scan_process``, questions on its input.

Scanning a megabyte takes a second or two. In a thread of the server it would share the interpreter with the event loop.
"""

from __future__ import annotations

import contextlib
import gc
import math
import os
import signal
import sys
import traceback
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import BinaryIO

from .exchange import Question, answer, asked, send
from .policy import compile_policy

#: How much the process stands back behind the server where both want a core.
NICE = 5
#: Seconds after the end of its time that a scan ends by itself, if the server has not ended it: it may be gone.
_LATE_S = 5


def main() -> None:
    """Answer questions until the input ends."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # A service manager tells all processes to end. The server still answers what it has begun, and ends this one.
        signal.signal(number, signal.SIG_IGN)
    os.nice(NICE)
    with contextlib.suppress(OSError):  # only Linux has it: where no memory is left this one goes, not the server
        Path("/proc/self/oom_score_adj").write_text("1000")
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what anything prints must not stand between the answers
    waiting: SimpleQueue[tuple[Question, str]] = SimpleQueue()
    Thread(target=_listen, args=(sys.stdin.buffer, waiting), daemon=True).start()
    gc.freeze()
    try:
        send(replies)
        while True:
            question, text = waiting.get()
            signal.alarm(math.ceil(question.within) + _LATE_S)
            policy = compile_policy(question.content, question.digest)
            answer(replies, *policy.look(question.stage, text, question.context, question.tier))
            signal.alarm(0)
    except BrokenPipeError:  # the server has ended
        os._exit(0)
    except BaseException:  # house: except because the thread that listens would keep the process from ending
        traceback.print_exc()
        os._exit(1)


def _listen(questions: BinaryIO, waiting: SimpleQueue[tuple[Question, str]]) -> None:
    """Take questions in a thread of its own: when the server ends, so does the process, also in the midst of a scan."""
    try:
        while True:
            waiting.put(asked(questions))
    except (EOFError, OSError, ValueError):
        os._exit(0)


if __name__ == "__main__":
    main()
