"""Where the ranks of one attempt meet: no rank takes for another what an earlier attempt left.

torchrun starts its processes anew when one of them died, but the store by which they find each other stays, with the
addresses of the dead in it; and the number of restarts that it tells differs between machines. So the first rank makes up a
name for the attempt, and each other rank uses it once the first has told that it knows of just this process.
"""

from __future__ import annotations

import time
from datetime import timedelta
from uuid import uuid4

from torch.distributed import PrefixStore, Store  # type: ignore[attr-defined]

from nnunetv2_lwi.errors import UserError

NAME = "nnunetv2_lwi/attempt"
SECONDS_BETWEEN_LOOKS = 0.05


def store_of_attempt(store: Store, rank: int, size: int, timeout: timedelta) -> Store:
    """The same store, for what the processes that are alive now tell each other.

    Raises:
        UserError: not all ranks came in time.
    """
    end = time.monotonic() + timeout.total_seconds()
    return PrefixStore(_lead(store, size, end) if rank == 0 else _follow(store, rank, end), store)


def _lead(store: Store, size: int, end: float) -> str:
    name = f"{NAME}/{uuid4()}"
    store.set(NAME, name)
    others = [f"{name}/{rank}" for rank in range(1, size)]
    while others and not store.check(others):
        _wait(end)
    store.set(f"{name}/all", " ".join(store.get(key).decode() for key in others))
    return name


def _follow(store: Store, rank: int, end: float) -> str:
    me, told = str(uuid4()), ""
    while True:
        name = store.get(NAME).decode() if store.check([NAME]) else ""
        if name != told:
            store.set(f"{name}/{rank}", me)
            told = name
        if told and store.check([f"{told}/all"]) and me in store.get(f"{told}/all").decode().split():
            return told
        _wait(end)


def _wait(end: float) -> None:
    if time.monotonic() > end:
        raise UserError("Not all processes of the launcher came: see what the others say, and start anew.")
    time.sleep(SECONDS_BETWEEN_LOOKS)
