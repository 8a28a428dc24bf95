"""A linear probe of a step 1 on the tiny data set."""

from __future__ import annotations

import json

import pytest

from nnunetv2_lwi.cli.main import main
from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.training.nnUNetTrainerLWIInit import nnUNetTrainerLWIInit
from tests.tiny_dataset import TinyDataset


def rows_of(text: str) -> list[dict[str, str]]:
    head, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.strip().splitlines()]
    return [dict(zip(head, row, strict=True)) for row in rows]


@pytest.mark.parametrize(
    ("parts", "starts"),
    [("encoder", ["step 1", "start of step 2", "random"]), ("network", ["step 1", "random"])],
)
def test_every_stage_has_its_figures_by_start_and_class(dataset: TinyDataset, capsys, parts: str, starts: list[str]):
    configuration = dataset.plans["configurations"]["3d_fullres"]
    configuration["lwi"]["seg"] = {"epochs": 2, "hand_over": parts}
    (dataset.preprocessed / "Dataset999_Tiny" / "nnUNetPlans.json").write_text(json.dumps(dataset.plans))
    dataset.trainer(nnUNetTrainerLWIInit).run_training()
    checkpoint = dataset.output_folder("nnUNetTrainerLWIInit") / "checkpoint_final.pth"
    capsys.readouterr()
    main(["probe", str(checkpoint), "-d", "999", "--fit", "3", "--test", "1"])
    rows = rows_of(capsys.readouterr().out)
    stages = ["encoder 0", "encoder 1", "encoder 2", "decoder 1", "decoder 2"]
    assert [(row["stage"], row["start"]) for row in rows] == [(stage, start) for stage in stages for start in starts]
    for row in rows:
        by_class = [list(map(float, row[f"AUC / Dice of class {label}"].split("/"))) for label in (1, 2)]
        for column, name in enumerate(("AUC", "Dice")):
            assert 0 <= float(row[name]) <= 1
            assert float(row[name]) == pytest.approx(sum(values[column] for values in by_class) / 2, abs=6e-3)
        rank, channels = map(float, row["rank"].split(" of "))
        assert 1 <= rank <= channels
    figures = {(row["stage"], row["start"]): row["AUC / Dice of class 1"] for row in rows}
    if parts == "encoder":
        assert figures["encoder 2", "step 1"] == figures["encoder 2", "start of step 2"]
        assert figures["decoder 2", "step 1"] != figures["decoder 2", "start of step 2"]


def test_a_fold_without_cases_is_told(dataset: TinyDataset):
    dataset.trainer(nnUNetTrainerLWIInit).run_training()
    checkpoint = dataset.output_folder("nnUNetTrainerLWIInit") / "checkpoint_final.pth"
    with pytest.raises(UserError, match="A probe needs labelled cases to fit on and others to test on"):
        main(["probe", str(checkpoint), "-d", "999", "-f", "all"])
    with pytest.raises(UserError, match="--fit 0 must be at least 1"):
        main(["probe", str(checkpoint), "-d", "999", "--fit", "0"])
