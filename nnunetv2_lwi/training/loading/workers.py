"""Ending the workers of nnU-Net's data loading before a mistake is told."""

from __future__ import annotations

import threading
from typing import Any

from batchgenerators.dataloading.nondet_multi_threaded_augmenter import NonDetMultiThreadedAugmenter

from nnunetv2_lwi.nnunet.private import collector, end
from nnunetv2_lwi.training.loading.device_loader import host_loader


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
