"""What is found while training: the checkpoints that stand must stay as they are."""

from __future__ import annotations

import numpy as np
import torch
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2

from tests.bad_input.table import Act, Init, Seg, World, row
from tests.tiny_dataset import Options, make_case
from tests.training.test_step2_needs import undeclare

UNDECLARED = "a label in the data that dataset.json does not declare"
RANDOM = {"epochs": 2, "start": "random"}


def spoil(world: World, voxel: float, case: int = 0) -> None:
    """One voxel in the middle of a preprocessed case, which every patch of the tiny data set covers."""
    image, segmentation = make_case(case, Options())
    image[0, 5, 9, 8] = voxel
    path = world.cases / f"case_{case}"
    properties = nnUNetDatasetBlosc2(str(world.cases)).load_case(path.name)[3]
    for old in (path.with_suffix(".b2nd"), path.with_name(f"{path.name}_seg.b2nd"), path.with_suffix(".pkl")):
        old.unlink()
    chunks = (1, *image.shape[1:])
    nnUNetDatasetBlosc2.save_case(image, segmentation, properties, str(path), chunks, chunks, chunks, chunks)


for cls in (Init, Seg):
    for voxel in (np.nan, np.inf, -np.inf):
        for workers in ("0", "1"):

            @row(
                "NaN or infinite voxels in a preprocessed case",
                "case case_",
                case=f"{voxel}, {cls.__name__}, {workers} workers",
                late=True,
            )
            def _(world: World, cls: type = cls, voxel: float = voxel, workers: str = workers) -> Act:
                world.monkeypatch.setenv("nnUNet_n_proc_DA", workers)
                for case in range(5):
                    spoil(world, voxel, case)
                return world.train(cls, seg=RANDOM)


@row("NaN or infinite voxels in a preprocessed case", "case case_", case="validation of step 1", late=True)
def _(world: World) -> Act:
    trainer = world.dataset.trainer(Init)
    trainer.load_checkpoint(str(world.place("nnUNetTrainerLWIInit")))
    _, validation_cases = trainer.do_split()
    spoil(world, np.nan, int(validation_cases[0].removeprefix("case_")))
    return trainer.perform_actual_validation


for cls, step in ((Init, "init"), (Seg, "seg")):
    for phase in ("train", "val"):

        @row(
            "a loss that is not finite",
            f"The {phase} loss became nan in epoch 1.",
            f"lwi.{step}.lr",
            case=f"{phase}, {cls.__name__}",
            late=True,
        )
        def _(world: World, cls: type = cls, phase: str = phase) -> Act:
            trainer = world.dataset.trainer(cls, init={"epochs": 3}, seg={"epochs": 3, "start": "random"})
            before_phase = {"train": "on_train_epoch_start", "val": "on_validation_epoch_start"}[phase]
            unspoiled = getattr(trainer, before_phase)

            def spoil_weights() -> None:
                """The first epoch passes."""
                unspoiled()
                if trainer.current_epoch == 1:
                    torch.nn.init.constant_(next(trainer.unwrapped_network.parameters()), torch.nan)

            world.monkeypatch.setattr(trainer, before_phase, spoil_weights)
            return trainer.run_training


for workers in ("0", "1"):

    @row(UNDECLARED, "case_", "the value 3", case=f"step 2, {workers} workers", late=True)
    def _(world: World, workers: str = workers) -> Act:
        world.monkeypatch.setenv("nnUNet_n_proc_DA", workers)
        undeclare(world.dataset)
        return world.train(Seg, seg=RANDOM)


@row(UNDECLARED, "case_0", "the value -2", case="nnUNetv2_lwi train")
def _(world: World) -> Act:
    undeclare(world.dataset, -2)
    return world.command("train", "999", "3d_fullres", "0", "-device", "cpu")
