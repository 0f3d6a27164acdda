"""Starts the gateway workers, starts one anew that ends, and ends them all."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Sequence

log = logging.getLogger("trimtab.workers")

#: How a worker is told to end at once. A second SIGTERM would not do: whoever asks a whole group of processes to end
#: sends the workers one, and then the control process does.
AT_ONCE = signal.SIGUSR1
#: Seconds that workers which were told so have, longer than it takes to cut off what runs and to hand over its spans.
LAST_S = 10.0
#: Seconds before a worker that ended is started again, doubled each time up to the second figure.
PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0
#: A worker that lived for so many seconds was well: the next pause is short again.
WELL_S = 30.0


class Supervisor:
    """``command`` starts one worker; ``fd`` is the listening socket that it inherits."""

    def __init__(self, command: Sequence[str], *, fd: int, workers: int) -> None:
        self._command = tuple(command)
        self._fd = fd
        self._workers = workers
        self._processes: set[asyncio.subprocess.Process] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False
        self._hurried = asyncio.Event()
        self.restarts = 0

    def start(self) -> None:
        """Start all workers."""
        self._tasks = [asyncio.create_task(self._keep(), name=f"trimtab-worker-{n}") for n in range(self._workers)]

    def hang_up(self) -> None:
        """Have all of them read their configuration again."""
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGHUP)

    def hurry(self) -> None:
        """Have them cut off what still runs, once they were asked to end, and wait for them ``LAST_S`` at most."""
        self._hurried.set()
        for process in self._processes if self._stopping else ():
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(AT_ONCE)

    async def stop(self, patience_s: float) -> None:
        """Ask all to end; those that do not within ``patience_s`` seconds are killed."""
        self._stopping = True
        for process in self._processes:
            self._ask_to_end(process)
        if self._tasks:
            await self._wait(patience_s)
            for process in list(self._processes):
                log.warning("worker %d did not end in time and is killed", process.pid)
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _ask_to_end(self, process: asyncio.subprocess.Process) -> None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(AT_ONCE if self._hurried.is_set() else signal.SIGTERM)

    async def _wait(self, patience_s: float) -> None:
        """Until all workers ended, or their time is up."""
        ended = asyncio.ensure_future(asyncio.wait(self._tasks, timeout=patience_s))
        told = asyncio.ensure_future(self._hurried.wait())
        try:
            await asyncio.wait([ended, told], return_when=asyncio.FIRST_COMPLETED)
            if self._hurried.is_set():
                await asyncio.wait([ended], timeout=LAST_S)
        finally:
            ended.cancel()
            told.cancel()

    async def _keep(self) -> None:
        pause = PAUSE_S
        time = asyncio.get_running_loop().time
        while not self._stopping:
            began = time()
            process = await asyncio.create_subprocess_exec(*self._command, pass_fds=(self._fd,))
            self._processes.add(process)
            if self._stopping:  # it was being started when the others were asked
                self._ask_to_end(process)
            try:
                status = await process.wait()
            finally:
                self._processes.discard(process)
            if self._stopping:
                return
            self.restarts += 1
            log.error("worker %d ended with status %s and is started again", process.pid, status)
            pause = PAUSE_S if time() - began > WELL_S else min(LONGEST_PAUSE_S, pause * 2)
            await asyncio.sleep(pause)
