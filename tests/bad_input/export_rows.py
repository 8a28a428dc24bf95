"""Mistakes with ``nnUNetv2_lwi export``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from batchgenerators.utilities.file_and_folder_operations import save_json

from tests.bad_input.table import Act, World, row

STEP1, STEP2 = "nnUNetTrainerLWIInit", "nnUNetTrainerLWISeg"
ENDING = {"nnunet": ".zip", "nnssl": ".pth", "encoder": ".pth"}


def export(world: World, form: str, *more: object, name: str | None = None) -> Act:
    """The command, for a file beside the data set's folders."""
    output = world.root / (name or f"out{ENDING[form]}")
    return world.command("export", "--as", form, "-d", "999", "-o", output, *more)


def finish(world: World, trainer: str = STEP2) -> Path:
    """A finished training, with the files that nnU-Net puts beside its folds."""
    path = world.place(trainer)
    save_json(world.dataset.plans, str(path.parents[1] / "plans.json"), sort_keys=False)
    save_json(world.dataset.dataset_json, str(path.parents[1] / "dataset.json"), sort_keys=False)
    return path


def architecture(world: World, name: str) -> None:
    """Another network in the plans and in the checkpoint of step 1."""
    world.configuration["architecture"]["network_class_name"] = name


for form, trainer in (("nnunet", STEP2), ("nnssl", STEP1), ("encoder", STEP1)):

    @row("exporting a training that is not there", trainer, case=form)
    def _(world: World, form: str = form) -> Act:
        finish(world, STEP1), finish(world, STEP2)
        return export(world, form, "-f", 3)

    @row("exporting a training that is not finished", trainer, case=form)
    def _(world: World, form: str = form, trainer: str = trainer) -> Act:
        path = finish(world, trainer)
        path.rename(path.with_name("checkpoint_latest.pth"))
        return export(world, form)


@row("exporting a best checkpoint that is not there")
def _(world: World) -> Act:
    finish(world)
    return export(world, "nnunet", "-chk", "checkpoint_best.pth")


for form in ("nnssl", "encoder"):

    @row("exporting several folds where one belongs", form, case=form)
    def _(world: World, form: str = form) -> Act:
        return export(world, form, "-f", 0, 1)


@row("an export into a file of another kind")
def _(world: World) -> Act:
    finish(world)
    return export(world, "nnunet", name="model.pth")


@row("an export into a folder")
def _(world: World) -> Act:
    finish(world)
    (world.root / "model.zip").mkdir()
    return export(world, "nnunet", name="model.zip")


@row("an export into a folder that is not there")
def _(world: World) -> Act:
    finish(world)
    return export(world, "nnunet", name="gone/model.zip")


@row("an export over the training itself")
def _(world: World) -> Act:
    return export(world, "nnssl", "--overwrite", name=str(finish(world, STEP1)))


@row("an export over a file that is there")
def _(world: World) -> Act:
    finish(world)
    (world.root / "out.zip").touch()
    return export(world, "nnunet")


@row("a model whose network nnU-Net does not bring", "needs nnunetv2_lwi installed")
def _(world: World) -> Act:
    architecture(world, "nnunetv2_lwi.networks.UNETR")
    finish(world)
    return export(world, "nnunet")


@row("a model whose folds are of other plans than it", "has shape [1], here [4, 1, 3, 3, 3]")
def _(world: World) -> Act:
    path = finish(world)
    edit(path, lambda content: content["network_weights"].update({"encoder.stages.0.0.convs.0.conv.weight": torch.zeros(1)}))
    return export(world, "nnunet")


@row("a step 1 for nnssl whose network nnU-Net does not build there")
def _(world: World) -> Act:
    def change(content: dict[str, Any]) -> None:
        content["lwi"]["digest"]["architecture"]["network_class_name"] = "nnunetv2_lwi.networks.UNETR"

    edit(finish(world, STEP1), change)
    return export(world, "nnssl")


@row("exporting a step 1 whose weights are not those of its plan", "has shape [1], here [4, 1, 3, 3, 3]")
def _(world: World) -> Act:
    path = finish(world, STEP1)
    edit(path, lambda content: content["network_weights"].update({"encoder.stages.0.0.convs.0.conv.weight": torch.zeros(1)}))
    return export(world, "encoder")


@row("safetensors that are not installed")
def _(world: World) -> Act:
    from nnunetv2_lwi.export import encoder

    finish(world, STEP1)
    world.monkeypatch.setattr(encoder, "find_spec", lambda _: None)
    return export(world, "encoder", name="encoder.safetensors")


def edit(path: Path, change: Any) -> None:
    """Change what a checkpoint holds."""
    content = torch.load(path, weights_only=True)
    change(content)
    torch.save(content, path)
