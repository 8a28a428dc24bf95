"""The name that an earlier step 1 gets, and which one is the latest."""

from __future__ import annotations

from nnunetv2_lwi.handover.growth import earlier_weights, put_aside
from nnunetv2_lwi.names import FINAL


def make(folder, text: str):
    folder.mkdir()
    (folder / FINAL).write_text(text)
    return folder


def test_each_is_numbered_after_the_last_and_the_last_starts_the_next(tmp_path):
    fold = tmp_path / "fold_0"
    assert earlier_weights(fold) is None
    for number in range(1, 12):
        make(fold, f"step 1, {number}")
        assert put_aside(fold) == tmp_path / f"fold_0_before_growth_{number}"
        assert not fold.exists()
        assert earlier_weights(fold).read_text() == f"step 1, {number}", "ten comes after nine"


def test_folders_of_other_folds_and_other_names_do_not_count(tmp_path):
    for name in ("fold_1_before_growth_3", "fold_0_before_growth_old", "fold_0_before_growth_", "fold_0_copy_9"):
        make(tmp_path / name, name)
    assert earlier_weights(tmp_path / "fold_0") is None
    assert put_aside(make(tmp_path / "fold_0", "new")).name == "fold_0_before_growth_1"


def test_an_earlier_one_without_a_checkpoint_has_no_weights(tmp_path):
    (tmp_path / "fold_0_before_growth_1").mkdir()
    assert earlier_weights(tmp_path / "fold_0") is None
