"""The workers of nnU-Net's data loading: ended before a mistake is told, idle before something is timed beside them."""

from __future__ import annotations

import threading
import time
from typing import Any

from batchgenerators.dataloading.nondet_multi_threaded_augmenter import NonDetMultiThreadedAugmenter

from nnunetv2_lwi.nnunet.private import collector, end, is_full
from nnunetv2_lwi.training.loading.device_loader import host_loader

SECONDS_OF_FILLING = 60.0
"""At most, that workers are waited for."""


def wait_until_full(loader: Any) -> None:
    """Wait until a loader's workers have nothing to do, if it has any, or for a minute."""
    loader = host_loader(loader)
    until = time.monotonic() + SECONDS_OF_FILLING
    while isinstance(loader, NonDetMultiThreadedAugmenter) and not is_full(loader) and time.monotonic() < until:
        time.sleep(0.05)


def end_workers(loader: Any) -> None:
    """End a loader's workers, if it has any, without a word.

    The loader's thread may be fetching a batch from a worker that is just ending; it then raises, and Python would print
    its traceback beside the one line that the user is told.
    """
    loader = host_loader(loader)
    if not isinstance(loader, NonDetMultiThreadedAugmenter):
        return
    ending, report = collector(loader), threading.excepthook

    def report_others(raised: threading.ExceptHookArgs) -> None:
        if raised.thread is not ending:
            report(raised)

    threading.excepthook = report_others
    try:
        end(loader)
    finally:
        threading.excepthook = report
