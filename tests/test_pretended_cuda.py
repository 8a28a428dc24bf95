from __future__ import annotations

import pytest
import torch

from tests.pretended_cuda import CUDA, PretendedCuda

WAITS = {
    "a number": lambda x: x.sum().item(),
    "a decision": lambda x: bool(x.any()),
    "where": lambda x: x.nonzero(),
    "a selection": lambda x: x[x > 0],
    "the values": lambda x: x.unique(),
    "a copy from there": lambda x: x.cpu(),
    "a copy into a tensor here": lambda x: torch.zeros(4).copy_(x),
    "a copy to there": lambda x: torch.zeros(4).to(CUDA),
    "a copy into a tensor there": lambda x: x.copy_(torch.zeros(4)),
    "mixed devices": lambda x: x + torch.zeros(4),
}


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS.keys())
def test_what_waits_or_mixes_devices_raises(wait):
    with PretendedCuda():
        there = torch.zeros(4, device=CUDA)
        with pytest.raises(Exception, match=r"wait|nonzero|_local_scalar_dense|unique|same device|two devices"):
            wait(there)


def test_what_does_not_goes_through_and_the_cpu_is_real():
    with PretendedCuda():
        there = torch.zeros(4).to(CUDA, non_blocking=True) * torch.tensor(2.0)
        there.masked_fill_(there > 0, 1.0)
        assert there.device == CUDA and there.shape == (4,)
        assert torch.arange(4).sum().item() == 6
