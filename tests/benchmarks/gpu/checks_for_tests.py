"""Checks that show nothing, in a module that a process imports at once."""

from __future__ import annotations

import os
import sys
import time

from nnunetv2_lwi.errors import UserError


def fine(place):
    sys.stdout.write("nnU-Net's chatter")
    yield {"process": os.getpid()}
    yield {"second": 2.0}


def fails_in_the_middle(place):
    yield {"first": 1}
    raise ValueError("no kernel image\nis available")


def refuses(place):
    raise UserError("The plan is none.")
    yield {}


def dies(place):
    os._exit(9)
    yield {}


def takes_too_long(place):
    time.sleep(600)
    yield {}
