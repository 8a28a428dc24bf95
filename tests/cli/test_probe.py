"""A linear probe of a step 1 on the tiny data set."""

from __future__ import annotations

import json

import pytest

from nnunetv2_lwi.cli.main import main
from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.training.nnUNetTrainerLWIInit import nnUNetTrainerLWIInit
from tests.tiny_dataset import TinyDataset


def cells_of(text: str) -> dict[str, list[str]]:
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.strip().splitlines()]
    return {row[0]: row[1:] for row in rows if set(row[0]) != {"-"}}


@pytest.mark.parametrize(("parts", "starts"), [("encoder", 3), ("network", 2)])
def test_every_stage_has_its_dice_by_start_and_class(dataset: TinyDataset, capsys, parts: str, starts: int):
    configuration = dataset.plans["configurations"]["3d_fullres"]
    configuration["lwi"]["seg"] = {"epochs": 2, "hand_over": parts}
    (dataset.preprocessed / "Dataset999_Tiny" / "nnUNetPlans.json").write_text(json.dumps(dataset.plans))
    dataset.trainer(nnUNetTrainerLWIInit).run_training()
    checkpoint = dataset.output_folder("nnUNetTrainerLWIInit") / "checkpoint_final.pth"
    capsys.readouterr()
    main(["probe", str(checkpoint), "-d", "999", "--fit", "3", "--test", "1"])
    cells = cells_of(capsys.readouterr().out)
    assert list(cells) == ["stage", "encoder 0", "encoder 1", "encoder 2", "decoder 1", "decoder 2"]
    assert (
        len(cells["stage"]) == 3 * starts
        and cells["stage"][-1] == "random, rank"
        and "step 1, class 1" in cells["stage"]
        and "random, class 2" in cells["stage"]
    )
    values = {stage: [float(cell) for cell in row[: 2 * starts]] for stage, row in cells.items() if stage != "stage"}
    assert all(cell.endswith("of 16") and 1 <= float(cell.split()[0]) <= 16 for cell in cells["encoder 2"][2 * starts :])
    assert all(0 <= value <= 1 for row in values.values() for value in row)
    if starts == 3:
        assert values["encoder 2"][:2] == values["encoder 2"][2:4] and values["decoder 2"][:2] != values["decoder 2"][2:4]


def test_a_fold_without_cases_is_told(dataset: TinyDataset):
    dataset.trainer(nnUNetTrainerLWIInit).run_training()
    checkpoint = dataset.output_folder("nnUNetTrainerLWIInit") / "checkpoint_final.pth"
    with pytest.raises(UserError, match="A probe needs labelled cases to fit on and others to test on"):
        main(["probe", str(checkpoint), "-d", "999", "-f", "all"])
    with pytest.raises(UserError, match="--fit 0 must be at least 1"):
        main(["probe", str(checkpoint), "-d", "999", "--fit", "0"])
