"""Workers are ended without a traceback of the thread that reads from them, and of no other."""

from __future__ import annotations

import threading

import pytest
from batchgenerators.dataloading.nondet_multi_threaded_augmenter import NonDetMultiThreadedAugmenter

from nnunetv2_lwi.training.loading.workers import end_workers


class Ending(NonDetMultiThreadedAugmenter):
    """Its thread, and another one, raise as it ends."""

    def __init__(self):
        self.ends = threading.Event()
        self.results_loop_thread = threading.Thread(target=self.fail, args=(ConnectionResetError("reset by peer"),))
        self.other = threading.Thread(target=self.fail, args=(ValueError("another thread's"),))
        for thread in (self.results_loop_thread, self.other):
            thread.start()

    def __del__(self):
        pass

    def fail(self, error):
        self.ends.wait()
        raise error

    def _finish(self, timeout=10, force=False):
        self.ends.set()
        self.results_loop_thread.join()
        self.other.join()


def test_the_loaders_own_thread_is_quiet_and_others_are_not(monkeypatch: pytest.MonkeyPatch):
    reported = []
    monkeypatch.setattr(threading, "excepthook", lambda raised: reported.append(raised.exc_type))
    before = threading.excepthook
    end_workers(Ending())
    assert reported == [ValueError] and threading.excepthook is before


def test_a_loader_without_workers_has_none_to_end():
    end_workers(None)
    end_workers(object())
