"""How many threads torch takes on the CPU."""

import os

import torch


def stay_on_own_cores() -> None:
    """Take no more threads than this process has cores.

    nnU-Net takes as many as the machine has; where a scheduler or ``taskset`` allows fewer, they get in each other's way.
    """
    if hasattr(os, "sched_getaffinity"):
        torch.set_num_threads(min(torch.get_num_threads(), len(os.sched_getaffinity(0))))
