"""A signal is noticed, passed on, and left to a process that was forked meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from nnunetv2_lwi.interruption import ASKED_TO_END, SIGNALS, AskedToEnd, Interruption
from nnunetv2_lwi.nnunet.commands import run_command

SAYS_SO = """
import signal, sys, time
signal.signal(signal.{name}, lambda *_: sys.exit(7))
print("ready", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_is_noticed_and_afterwards_is_what_it_was(number):
    before = signal.getsignal(number)
    with Interruption() as interruption:
        os.kill(os.getpid(), number)
        assert interruption.asked
    assert signal.getsignal(number) == before


def test_a_process_that_was_forked_meanwhile_ends_as_ever():
    """A loader's worker: it would else never end."""
    with Interruption() as interruption:
        child = os.fork()
        if child == 0:
            time.sleep(60)
            os._exit(0)
        time.sleep(0.2)
        os.kill(child, signal.SIGTERM)
        _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGTERM and not interruption.asked


def test_outside_the_main_thread_it_does_nothing():
    seen = []

    def enter():
        with Interruption() as interruption:
            seen.append(interruption.asked)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [False]


@pytest.mark.parametrize("number", SIGNALS)
def test_a_command_is_asked_too_and_waited_for(number, capfd):
    """What it saves on the signal is saved before the one that called it ends."""
    program = SAYS_SO.format(name=signal.Signals(number).name)
    timer = threading.Timer(1.0, os.kill, (os.getpid(), number))
    timer.start()
    with pytest.raises(AskedToEnd) as raised:
        run_command([sys.executable, "-c", program], os.environ)
    assert raised.value.code == ASKED_TO_END
    assert "was asked to end, and has. The same command goes on from there." in capfd.readouterr().err


def test_a_command_that_was_asked_by_others_ends_its_caller_too():
    with pytest.raises(AskedToEnd):
        run_command([sys.executable, "-c", f"raise SystemExit({ASKED_TO_END})"], os.environ)


def test_the_exit_code_is_one_that_a_script_can_tell():
    done = subprocess.run(
        [sys.executable, "-c", "from nnunetv2_lwi.interruption import AskedToEnd; raise AskedToEnd('saved').told()"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (75, "nnunetv2_lwi: saved\n")
