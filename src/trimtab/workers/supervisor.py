"""Starts the gateway workers, starts one anew that ends, and ends them all."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Sequence

log = logging.getLogger("trimtab.workers")

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
        self.restarts = 0

    def start(self) -> None:
        """Start all workers."""
        self._tasks = [asyncio.create_task(self._keep(), name=f"trimtab-worker-{n}") for n in range(self._workers)]

    def hang_up(self) -> None:
        """Have all of them read their configuration again."""
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGHUP)

    async def stop(self, patience_s: float) -> None:
        """Ask all to end; those that do not within ``patience_s`` seconds are killed."""
        self._stopping = True
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=patience_s)
            for process in list(self._processes) if late else ():
                log.warning("worker %d did not end in time and is killed", process.pid)
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _keep(self) -> None:
        pause = PAUSE_S
        time = asyncio.get_running_loop().time
        while not self._stopping:
            began = time()
            process = await asyncio.create_subprocess_exec(*self._command, pass_fds=(self._fd,))
            self._processes.add(process)
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
