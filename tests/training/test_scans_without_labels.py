"""Step 1 with scans without labels beside the fold: what it draws from, says, writes, and goes on from."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.training.loading.checked_voxels import PREFIX
from nnunetv2_lwi.training.nnUNetTrainerLWIInit import nnUNetTrainerLWIInit
from nnunetv2_lwi.training.nnUNetTrainerLWISeg import nnUNetTrainerLWISeg
from tests.tiny_dataset import Options, add_scans, save_preprocessed


def trained(dataset, **lwi):
    trainer = dataset.trainer(nnUNetTrainerLWIInit, **lwi)
    trainer.run_training()
    return trainer


def final(dataset, trainer="nnUNetTrainerLWIInit"):
    return dataset.output_folder(trainer) / "checkpoint_final.pth"


def log(dataset, trainer="nnUNetTrainerLWIInit"):
    return "".join(path.read_text() for path in dataset.output_folder(trainer).glob("training_log*"))


def test_they_are_drawn_and_log_and_checkpoint_say_so(make_dataset, monkeypatch):
    dataset = make_dataset(scans=3)
    drawn = []
    step = nnUNetTrainerLWIInit.train_step
    monkeypatch.setattr(
        nnUNetTrainerLWIInit, "train_step", lambda self, batch: drawn.extend(batch["keys"]) or step(self, batch)
    )
    trained(dataset, iterations_per_epoch=10)
    assert {key.startswith(PREFIX) for key in drawn} == {True, False}
    assert "Images: 4 of the fold and 3 scans without labels" in log(dataset)
    ours = torch.load(final(dataset), weights_only=True)["lwi"]
    assert ours["provenance"]["scans_without_labels"] == 3 and len(ours["provenance"]["cases"]) == 4
    assert sorted(ours["run"]["unlabelled"]["scans"]) == ["case_0", "case_1", "case_2"]


def test_without_such_a_folder_or_where_the_plan_says_false_nothing_changes(make_dataset):
    weights = []
    for name, scans, init in (("plain", 0, {"epochs": 2}), ("told", 3, {"epochs": 2, "unlabelled": False})):
        dataset = make_dataset(name, scans=scans)
        weights.append(trained(dataset, init=init).unwrapped_network.state_dict())
        assert "scans without labels" not in log(dataset)
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


def test_an_image_of_the_folds_validation_is_never_drawn(make_dataset, monkeypatch):
    dataset = make_dataset(scans=1)
    add_scans(dataset, {"copy_of_case_0": 0, "copy_of_case_1": 1})
    drawn = set()
    step = nnUNetTrainerLWIInit.train_step
    monkeypatch.setattr(
        nnUNetTrainerLWIInit, "train_step", lambda self, batch: drawn.update(batch["keys"]) or step(self, batch)
    )
    trainer = trained(dataset, iterations_per_epoch=20)
    (validated,) = trainer.val_cases
    assert drawn <= {*trainer.train_cases, f"{PREFIX}case_0"}
    assert "left out as images of this fold's cases: 2 (copy_of_case_0 is case_0, copy_of_case_1 is case_1)" in log(dataset)
    assert validated not in drawn


@pytest.mark.parametrize("scans", [0, 2])
def test_a_run_goes_on_with_the_scans_it_began_with_alone(make_dataset, scans):
    dataset = make_dataset(scans=scans)
    trained(dataset)
    add_scans(dataset, {"new": 300})
    resumed = dataset.trainer(nnUNetTrainerLWIInit)
    resumed.load_checkpoint(str(final(dataset)))
    began_with = [f"case_{number}" for number in range(scans)]
    assert sorted(resumed.record()["unlabelled"]["scans"]) == began_with
    assert "are new: 1 (new). This run goes on with those that it began with." in log(dataset)
    resumed.get_dataloaders()
    drawn = {key.removeprefix(PREFIX) for key in resumed.dataloader_train.data_loader.indices if key.startswith(PREFIX)}
    assert drawn == set(began_with)


def test_a_run_does_not_go_on_without_scans_that_it_began_with(make_dataset):
    dataset = make_dataset(scans=2)
    trained(dataset)
    dataset.scans.remove("case_1")
    with pytest.raises(UserError, match=r"is of another run than this: scans without labels that are gone: 1 \(case_1\)"):
        dataset.trainer(nnUNetTrainerLWIInit).load_checkpoint(str(final(dataset)))


def test_step_2_starts_from_it_and_trains_on_labelled_cases_alone(make_dataset, monkeypatch):
    dataset = make_dataset(scans=2)
    trained(dataset)
    drawn = set()
    step = nnUNetTrainerLWISeg.train_step
    monkeypatch.setattr(
        nnUNetTrainerLWISeg, "train_step", lambda self, batch: drawn.update(batch["keys"]) or step(self, batch)
    )
    dataset.trainer(nnUNetTrainerLWISeg).run_training()
    assert drawn and not any(key.startswith(PREFIX) for key in drawn)
    text = log(dataset, "nnUNetTrainerLWISeg")
    assert "Start: step 1" in text and "WARNING" not in text


@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_scan_that_was_spoiled_since_is_named(make_dataset, monkeypatch, workers):
    monkeypatch.setenv("nnUNet_n_proc_DA", workers)
    dataset = make_dataset(scans=1)
    image, segmentation, _, properties = dataset_case(dataset)
    image[:] = np.nan
    dataset.scans.remove("case_0")
    save_preprocessed(dataset.scans.path / "case_0", image, segmentation, properties)
    with pytest.raises(UserError, match="The preprocessed scan case_0 has NaN or infinite voxels: remove its files and run"):
        trained(dataset, iterations_per_epoch=20)


def dataset_case(dataset):
    from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2

    image, segmentation, *rest = nnUNetDatasetBlosc2(str(dataset.scans.path)).load_case("case_0")
    return image[:], segmentation[:], *rest


@pytest.mark.parametrize(
    "options",
    [{"channels": 2, "use_mask_for_norm": True}, {"shape": (4, 19, 17)}, {"ignore_label": True, "regions": True}],
    ids=str,
)
def test_they_are_images_like_the_folds_own(make_dataset, options):
    dataset = make_dataset(scans=1, **options)
    depth, height, width = Options(**options).shape
    add_scans(dataset, {"large": 400}, Options(**{**options, "shape": (3 * depth, 2 * height, width + 9)}))
    add_scans(dataset, {"small": 401}, Options(**{**options, "shape": (2, 9, 7)}))
    trainer = trained(dataset, iterations_per_epoch=10)
    assert len(trainer.record()["unlabelled"]["scans"]) == 3


def test_a_share_of_what_is_drawn_is_told_and_part_of_the_digest(make_dataset):
    dataset = make_dataset(scans=3)
    trained(dataset, init={"epochs": 1, "labelled_share": 0.25})
    assert "the former 25% of what is drawn" in log(dataset)
    with pytest.raises(UserError, match=r"lwi.init.labelled_share: 0.25, here None"):
        dataset.trainer(nnUNetTrainerLWISeg, init={"epochs": 1}).run_training()
