"""How a training stands, beside its checkpoints."""

from __future__ import annotations

import json

import numpy as np
import pytest

from nnunetv2_lwi.handover.standing import FILE, write_standing


def written(folder, **logging):
    write_standing(folder, 3, 10, logging, {"digest": {"lwi": {"seed": np.int64(1)}}, "start": {"kind": "random"}})
    return json.loads((folder / FILE).read_text())


def test_the_time_of_an_epoch_is_that_of_the_last_five(tmp_path):
    starts = [0.0, 100.0, 110.0, 120.0, 130.0, 140.0, 150.0]
    found = written(tmp_path, epoch_start_timestamps=starts, epoch_end_timestamps=[100, 110, 114, 124, 134, 144, 159])
    assert found == {
        "epoch": 3,
        "epochs": 10,
        "seconds_an_epoch": pytest.approx((4 + 4 + 4 + 4 + 9) / 5),
        "digest": {"lwi": {"seed": 1}},
        "start": {"kind": "random"},
    }


def test_an_epoch_that_has_not_ended_has_no_time(tmp_path):
    assert written(tmp_path, epoch_start_timestamps=[0.0, 7.0], epoch_end_timestamps=[7.0])["seconds_an_epoch"] == 7.0
    assert written(tmp_path)["seconds_an_epoch"] is None
