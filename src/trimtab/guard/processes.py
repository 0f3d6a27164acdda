"""The scanning processes of the server: started when the first long text comes, ended when none came for a while.

Each is fed by a thread of its own, which waits for it without holding the interpreter. A process that ends, answers
with something else than an answer, or takes longer than it may is killed; the next text gets a new one.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from queue import Empty, Full, Queue
from typing import Any, BinaryIO, TypeVar, cast

from .exchange import Question, answered, ask, receive
from .verdicts import Failure, Finding

#: Processes at most, and texts that may wait for one.
MOST, WAITING = 2, 128
#: Seconds that a process may take to start, and after which one that has nothing to do is ended.
START_S, IDLE_S = 10.0, 60.0
#: Modules are not looked for in the working folder, as they are not for the server. Where Python is a part of another
#: program there may be no interpreter to start.
COMMAND = (sys.executable or "", "-P", "-m", "trimtab.guard.scan_process")

Result = TypeVar("Result")
Job = tuple[Future[Any], Callable[["ScanProcess"], Any]]


class Lost(Exception):
    """The process that scanned a text ended, took too long or answered with something else than an answer."""


class NotStarted(Exception):
    """No process can be started here."""


class ScanProcess:
    """One process. Raises NotStarted."""

    def __init__(self, command: Sequence[str]) -> None:
        self._late = False
        try:
            # A session of its own: what ends the server from a terminal leaves it alone until its input ends.
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
            )
        except OSError as error:
            raise NotStarted(str(error)) from None
        try:
            self._within(START_S, lambda: receive(self._replies))
        except Lost as error:
            raise NotStarted(str(error)) from None

    @property
    def pid(self) -> int:
        """The number that the system knows it by."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it may be asked."""
        return not self._late and self._process.poll() is None

    def look(self, question: Question, text: str) -> tuple[list[Finding], list[Failure]]:
        """What it finds in a text; it is killed when its time is over. Raises Lost."""

        def ask_it() -> tuple[list[Finding], list[Failure]]:
            ask(cast(BinaryIO, self._process.stdin), question, text)
            return answered(self._replies)

        return self._within(question.within, ask_it)

    def end(self) -> None:
        """End it now."""
        self._process.kill()
        self._process.wait()
        self._replies.close()
        with contextlib.suppress(BrokenPipeError):  # a question that it never read
            cast(BinaryIO, self._process.stdin).close()

    @property
    def _replies(self) -> BinaryIO:
        return cast(BinaryIO, self._process.stdout)

    def _within(self, seconds: float, act: Callable[[], Result]) -> Result:
        alarm = threading.Timer(seconds, self._kill)
        alarm.daemon = True
        try:
            alarm.start()
            return act()
        # house: except because a process that was asked or heard by halves must not be asked again
        except BaseException as error:
            alarm.cancel()
            late = self._late
            self.end()
            why = "it took longer than its budget" if late else f"the scanning process failed ({type(error).__name__})"
            raise Lost(why) from None
        finally:
            alarm.cancel()

    def _kill(self) -> None:
        self._late = True
        self._process.kill()


class Processes:
    """The pool. ``command`` starts one process. There are ``most`` at once, for which ``waiting`` texts may wait; after
    ``idle_s`` seconds without a text a process is ended."""

    def __init__(
        self, command: Sequence[str] = COMMAND, *, most: int = MOST, waiting: int = WAITING, idle_s: float = IDLE_S
    ) -> None:
        self._command = tuple(command)
        self._most, self._room, self._idle_s = most, most + waiting, idle_s
        self._forget()
        os.register_at_fork(after_in_child=self._forget)

    def run(self, act: Callable[[ScanProcess], Result]) -> Future[Result]:
        """Have ``act`` done with a process, in its thread. The future raises NotStarted, or what ``act`` raises.

        Raises Full when too many wait, NotStarted when the system lends no thread to feed a process.
        """
        future: Future[Result] = Future()
        with self._lock:
            if self._under_way >= self._room:
                raise Full
            if self._threads <= self._under_way and self._threads < self._most:
                self._feed()
            self._under_way += 1
            self._jobs.put((future, act))
        return future

    def _feed(self) -> None:
        """One more thread; where there is one already, it may as well do all. Raises NotStarted."""
        feeder = threading.Thread(target=self._serve, args=(self._jobs,), name="trimtab-scans", daemon=True)
        try:
            feeder.start()
        except RuntimeError as error:
            if self._threads == 0:
                raise NotStarted(str(error)) from None
        else:
            self._threads += 1

    def _forget(self) -> None:
        """Nothing is under way: so it is at first, and after a fork, which takes no thread along."""
        self._lock = threading.Lock()
        self._jobs: Queue[Job] = Queue()
        self._threads = self._under_way = 0

    def _serve(self, jobs: Queue[Job]) -> None:
        process: ScanProcess | None = None
        while True:
            try:
                future, act = jobs.get(timeout=self._idle_s)
            except Empty:
                with self._lock:
                    if not jobs.empty():  # one has just come
                        continue
                    self._threads -= 1
                break
            wanted, result, error = future.set_running_or_notify_cancel(), None, None
            if wanted:  # else whoever asked waits no longer
                try:
                    process = self._ready(process)
                    result = act(process)
                except BaseException as raised:  # house: except because whoever waits for the result must be told
                    error = raised
            with self._lock:
                self._under_way -= 1
            if error is not None:
                future.set_exception(error)
            elif wanted:
                future.set_result(result)
            del future, act, result, error
        if process is not None:
            process.end()

    def _ready(self, process: ScanProcess | None) -> ScanProcess:
        """The process of the thread, or a new one where there is none that may be asked. Raises NotStarted."""
        if process is not None:
            if process.alive:
                return process
            process.end()
        return ScanProcess(self._command)


#: The processes of this server.
PROCESSES = Processes()
