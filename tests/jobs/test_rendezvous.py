"""The ranks of an attempt find each other in a store that holds what earlier attempts left."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from torch import distributed as dist

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.jobs.rendezvous import NAME, store_of_attempt

SOON, NOW = timedelta(seconds=20), timedelta(seconds=0.3)


def meet(store, *ranks, size=3, timeout=SOON):
    """All at once; what each writes by its store, read by the first's."""
    with ThreadPoolExecutor(len(ranks)) as pool:
        stores = list(pool.map(lambda rank: store_of_attempt(store, rank, size, timeout), ranks))
    for rank, own in zip(ranks, stores, strict=True):
        own.set(f"from {rank}", str(rank))
    return stores


def test_ranks_of_an_attempt_share_a_store_that_no_other_attempt_sees():
    store = dist.HashStore()
    first = meet(store, 0, 1, 2)
    second = meet(store, 2, 1, 0)
    assert all(own.get(f"from {rank}") == str(rank).encode() for own in first for rank in range(3))
    first[0].set("address", "of a dead one")
    assert not any(own.check(["address"]) for own in second)


def test_a_rank_that_comes_early_does_not_take_what_an_earlier_attempt_left():
    store = dist.HashStore()
    meet(store, 0, 1, 2)
    with pytest.raises(UserError, match="Not all processes of the launcher came"):
        store_of_attempt(store, 1, 3, NOW)
    with ThreadPoolExecutor(1) as pool:
        early = pool.submit(store_of_attempt, store, 1, 2, SOON)
        (late,) = meet(store, 0, size=2)
        assert early.result().get("from 0") == b"0"
    assert late.get("from 0") == b"0"


def test_the_first_rank_waits_for_the_last():
    store = dist.HashStore()
    with pytest.raises(UserError, match="Not all processes"):
        store_of_attempt(store, 0, 2, NOW)
    assert store.check([NAME])
    store_of_attempt(store, 0, 1, NOW)
