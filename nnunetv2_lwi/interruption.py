"""Being asked to end, by a scheduler or a person: what there is is saved, and the exit code says that the same call goes on.

SLURM sends SIGTERM before it kills a job, and with ``--signal`` another one some time before; a process that is asked to
end ends with EX_TEMPFAIL of sysexits.h, by which a script can tell that the job is to be queued again.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from types import FrameType, TracebackType
from typing import Any

from nnunetv2_lwi.errors import tell

ASKED_TO_END = 75
"""Exit code: call the same command again."""
SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGUSR1") if hasattr(signal, name)]


class AskedToEnd(SystemExit):
    """The process was asked to end, and what it had done is saved."""

    def __init__(self, message: str) -> None:
        super().__init__(ASKED_TO_END)
        self.message = message

    def told(self) -> AskedToEnd:
        """The same, once the user has been told."""
        tell(self.message)
        return self


class Interruption:
    """Notices such a signal, for as long as it is entered; does nothing outside the main thread, where none arrives.

    Attributes:
        asked: whether there was one.
        passed_to: a process that gets it too.
    """

    def __init__(self, passed_to: subprocess.Popen[Any] | None = None) -> None:
        self.asked = False
        self.passed_to = passed_to
        self._process = os.getpid()
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._notice) for number in SIGNALS}
        return self

    def __exit__(self, kind: type[BaseException] | None, raised: BaseException | None, where: TracebackType | None) -> None:
        if os.getpid() == self._process:
            for number, handler in self._before.items():
                signal.signal(number, handler)

    def _notice(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:  # a loader's worker, forked meanwhile: its training ends it when it has saved
            if number != signal.SIGTERM:
                return
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        self.asked = True
        if self.passed_to is not None and self.passed_to.poll() is None:
            self.passed_to.send_signal(number)
