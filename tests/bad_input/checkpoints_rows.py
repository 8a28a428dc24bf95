"""Checkpoints that cannot be read, are of another kind, or do not fit."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from nnunetv2_lwi.networks import Primus
from tests.bad_input.readers import READERS, spoiled
from tests.bad_input.table import Act, Init, Seg, World, row
from tests.networks_for_tests import REQUIRE_IMPORT, UNET, build_unet, unet_kwargs
from tests.nnunet.test_contents import rewrite
from tests.tiny_dataset import PATCH, STRIDES, Options, make_case

FINAL = "checkpoint_final.pth"
STEP1, STEP2 = "nnUNetTrainerLWIInit", "nnUNetTrainerLWISeg"

UNREADABLE: dict[str, Callable[[Path], object]] = {
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:-200]),
    "empty": lambda path: path.write_bytes(b""),
    "a text": lambda path: path.write_text("weights"),
    "a pickle": lambda path: path.write_bytes(pickle.dumps({"network_weights": 1})),
    "spoiled in the middle": lambda path: path.write_bytes(path.read_bytes()[:5000] + bytes(3000)),
}
NO_WEIGHTS: dict[str, Any] = {
    "a list": [1, 2],
    "other keys": {"state_dict": {}},
    "no tensors": {"network_weights": {"a": "b"}},
}

for reader, read in READERS.items():
    for kind, spoil in UNREADABLE.items():

        @row("a checkpoint that is cut short, empty, or no checkpoint at all", case=f"{kind}, {reader}")
        def _(world: World, spoil: Any = spoil, read: Any = read) -> Act:
            return read(world, spoiled(world, spoil))

    for kind, content in NO_WEIGHTS.items():

        @row("a file that torch wrote, but without nnU-Net's weights", case=f"{kind}, {reader}")
        def _(world: World, content: Any = content, read: Any = read) -> Act:
            return read(world, spoiled(world, lambda path: torch.save(content, path)))


for reader in ("check", "train --step1", "-pretrained_weights"):

    @row("a checkpoint that is not there", case=reader)
    def _(world: World, reader: str = reader) -> Act:
        return READERS[reader](world, world.root / "missing.pth")


for reader in ("check", "hand-over"):

    @row("a segmentation checkpoint where step 1's is meant", STEP2, case=reader)
    def _(world: World, reader: str = reader) -> Act:
        return READERS[reader](world, world.file(STEP2))


@row("a segmentation checkpoint where step 1's is meant", "nnUNetTrainer.", case="nnU-Net's own")
def _(world: World) -> Act:
    return world.check(change(world.file(STEP2), lambda content: content.update(trainer_name="nnUNetTrainer")))


@row("step 1's checkpoint where a segmentation is to go on", STEP1, STEP2)
def _(world: World) -> Act:
    return READERS["--c of step 2"](world, world.file(STEP1))


@row("a segmentation checkpoint where step 1 is to go on", STEP1, STEP2)
def _(world: World) -> Act:
    return READERS["--c of step 1"](world, world.file(STEP2))


@row("predicting with step 1")
def _(world: World) -> Act:
    return lambda: Init.build_network_architecture(None, None, 1, 3, enable_deep_supervision=False)


def change(path: Path, edit: Callable[[dict[str, Any]], object]) -> Path:
    """Edit what a checkpoint holds."""
    content = torch.load(path, weights_only=True)
    edit(content)
    torch.save(content, path)
    return path


for reader, trainer in (("check", STEP1), ("hand-over", STEP1), ("--c of step 1", STEP1), ("--c of step 2", STEP2)):

    @row("a checkpoint of another version of this package", "its format is 3", case=reader)
    def _(world: World, reader: str = reader, trainer: str = trainer) -> Act:
        return READERS[reader](world, change(world.file(trainer), lambda content: content["lwi"].update(format=3)))

    @row("a checkpoint that lacks what was written into it", "digest", case=reader)
    def _(world: World, reader: str = reader, trainer: str = trainer) -> Act:
        return READERS[reader](world, change(world.file(trainer), lambda content: content["lwi"].pop("digest")))


@row("a checkpoint that lacks what was written into it", "provenance.cases", case="provenance")
def _(world: World) -> Act:
    return world.check(change(world.file(), lambda content: content["lwi"]["provenance"].pop("cases")))


@row("a checkpoint that lacks what was written into it", "optimizer_state", case="nnU-Net's keys")
def _(world: World) -> Act:
    return READERS["--c of step 2"](world, change(world.file(STEP2), lambda content: content.pop("optimizer_state")))


def architecture(**changes: Any) -> dict[str, Any]:
    """The tiny data set's, changed."""
    kwargs = {"network_class_name": f"{UNET}.PlainConvUNet", "arch_kwargs": unet_kwargs(STRIDES)} | changes
    return {**kwargs, "_kw_requires_import": REQUIRE_IMPORT}


WIDER = architecture(arch_kwargs=unet_kwargs(STRIDES, features=6))
RESIDUAL = architecture(network_class_name=f"{UNET}.ResidualEncoderUNet", arch_kwargs=unet_kwargs(STRIDES, residual=True))
OTHER_PLANS: dict[str, tuple[dict[str, Any], str]] = {
    "architecture": ({"architecture": RESIDUAL}, f"network_class_name: '{UNET}.PlainConvUNet', here"),
    "width": ({"architecture": WIDER}, "features_per_stage: [4, 8, 16], here [6, 12, 24]"),
    "patch": ({"patch_size": [16, 16, 16]}, "patch_size: [8, 16, 16], here [16, 16, 16]"),
    "spacing": ({"spacing": [1.0, 1.0, 1.0]}, "spacing: [2.0, 1.0, 1.0], here [1.0, 1.0, 1.0]"),
    "settings": ({"lwi": {"order_weight": 0.1}}, "lwi.init.epochs: 2, here 200"),
    "channels": ({"normalization_schemes": ["ZScoreNormalization"] * 2}, "image_channels: 1, here 2"),
}

for what, (changes, shown) in OTHER_PLANS.items():

    @row("a step 1 of another architecture, width, patch, spacing, channel count or settings", shown, case=f"{what}, check")
    def _(world: World, changes: Any = changes) -> Act:
        two_channels(world, changes)
        world.write_plans("Other", **changes)
        return world.check(world.file(), "-p", "Other")

    @row("the step 1 that step 2 finds was trained with another plan", shown, case=what)
    def _(world: World, changes: Any = changes) -> Act:
        two_channels(world, changes)
        world.place(STEP1)
        world.configuration.update(changes)
        return world.train(Seg)


OTHERWISE = "nnUNetv2_lwi train where a step 2 of other settings, or from another start, is begun or finished"

for name in ("checkpoint_final.pth", "checkpoint_latest.pth"):

    @row(OTHERWISE, "lwi.seg.lr: 0.01, here 0.5", case=f"settings, {name}")
    def _(world: World, name: str = name) -> Act:
        world.place(STEP2, name=name)
        world.write_plans(lwi={**world.configuration["lwi"], "seg": {"epochs": 2, "lr": 0.5}})
        return world.command("train", "999", "3d_fullres", "0", "-device", "cpu")

    @row(OTHERWISE, "start: ", "here ", case=f"start, {name}")
    def _(world: World, name: str = name) -> Act:
        world.place(STEP1)
        path = world.place(STEP2, name=name)
        change(path, lambda content: content["lwi"]["start"].update(path=str(world.dataset.output_folder(STEP1) / FINAL)))
        return world.command("train", "999", "3d_fullres", "0", "-device", "cpu", "--step1", world.file())


@row("nnUNetv2_lwi train where another trainer's checkpoint lies in step 2's folder")
def _(world: World) -> Act:
    world.place(STEP2, world.file(STEP1))
    return world.command("train", "999", "3d_fullres", "0", "-device", "cpu")


def two_channels(world: World, changes: dict[str, Any]) -> None:
    """Where the plan is made for two channels, dataset.json names two."""
    if "normalization_schemes" in changes:
        world.write_dataset_json(channel_names={"0": "T1", "1": "T2"})


@row("step 1 weights that are not those of its plan", "stages.0.0.convs.0.conv.weight has shape [1], here [4, 1, 3, 3, 3]")
def _(world: World) -> Act:
    key = "encoder.stages.0.0.convs.0.conv.weight"
    return world.check(change(world.file(), lambda content: content["network_weights"].update({key: torch.zeros(1)})))


def other_network(world: World, network: torch.nn.Module) -> Path:
    """A checkpoint as nnU-Net would write it for a network."""
    path = world.root / "other.pth"
    torch.save({"network_weights": network.state_dict(), "trainer_name": "nnUNetTrainer"}, path)
    return path


MISFITS = {
    "architecture": (lambda: build_unet(STRIDES, residual=True), " is missing"),
    "width": (lambda: build_unet(STRIDES, features=6), "has shape [6, 1, 3, 3, 3], here [4, 1, 3, 3, 3]"),
    "channels": (lambda: build_unet(STRIDES, channels=2), "has shape [4, 2, 3, 3, 3], here [4, 1, 3, 3, 3]"),
    "depth": (lambda: build_unet(STRIDES[:2]), " is missing"),
}

for what, (build, shown) in MISFITS.items():
    for cls in (Init, Seg):

        @row("-pretrained_weights of another network", shown, case=f"{what}, {cls.__name__}")
        def _(world: World, build: Any = build, cls: type = cls) -> Act:
            world.type_command("-pretrained_weights", str(other_network(world, build())))
            return world.train(cls)


@row("-pretrained_weights of another network", "has shape [1, 8, 24], here [1, 16, 24]", case="patch (positional embedding)")
def _(world: World) -> Act:
    kwargs = {"patch_embed_size": [4, 8, 8], "embed_dim": 24, "eva_depth": 1, "eva_numheads": 2}
    small = Primus(1, 3, patch_size=PATCH, **kwargs)
    world.type_command("-pretrained_weights", str(other_network(world, small)))
    world.configuration["patch_size"] = [16, 16, 16]
    world.configuration["architecture"] = {
        "network_class_name": "nnunetv2_lwi.networks.Primus",
        "arch_kwargs": {"patch_size": [16, 16, 16], **kwargs},
        "_kw_requires_import": [],
    }
    return world.train(Seg)


for what, changes, shown in (
    ("architecture", {"architecture": RESIDUAL}, " is missing"),
    ("width", {"architecture": WIDER}, "has shape [4, 1, 3, 3, 3], here [6, 1, 3, 3, 3]"),
):

    @row("--c after the plan's network was changed", shown, case=what)
    def _(world: World, changes: Any = changes) -> Act:
        path = world.place(STEP2, name="checkpoint_latest.pth")
        world.configuration.update(changes)
        return world.resume(path)


@row("--c after the optimiser, or what is trained, was changed", "SGD of ", "here AdamW of ", case="optimizer")
def _(world: World) -> Act:
    return world.resume(world.place(STEP2, name="checkpoint_latest.pth"), seg={"optimizer": "AdamW"})


@row("--c after the optimiser, or what is trained, was changed", "here SGD of ", case="decoder frozen")
def _(world: World) -> Act:
    return world.resume(world.place(STEP1, name="checkpoint_latest.pth"), Init, reconstruction_weight=0)


@row("--c after the number of slabs was changed", "order_heads.classifiers.0.2.weight has shape [2, 4], here [4, 4]")
def _(world: World) -> Act:
    return world.resume(world.place(STEP1, name="checkpoint_latest.pth"), Init, num_subvolumes=4)


@row("step 2 without a step 1", "-tr nnUNetTrainerLWIInit -device cpu first")
def _(world: World) -> Act:
    return world.train(Seg)


for name in ("checkpoint_latest.pth", "checkpoint_best.pth"):

    @row("step 2 while step 1 is not finished", "-device cpu --c first", case=name)
    def _(world: World, name: str = name) -> Act:
        world.place(STEP1, name=name)
        return world.train(Seg)


for kind, changes, shown in (
    ("masking", {"masking": {"ratio": 0.7}}, "lwi.masking.ratio: 0.4, here 0.7"),
    ("rate", {"init": {"epochs": 1, "lr": 0.5}}, "lwi.init.lr: 0.01, here 0.5"),
    ("seed", {"seed": 7}, "lwi.seed: "),
):

    @row("--c of step 1 after one of its settings was changed", shown, case=kind)
    def _(world: World, changes: Any = changes) -> Act:
        return world.resume(world.place(STEP1, name="checkpoint_latest.pth"), Init, **changes)


@row("--c of step 2 after one of its settings was changed", "lwi.seg.momentum: 0.99, here 0.5")
def _(world: World) -> Act:
    settings = world.configuration["lwi"]["seg"] | {"momentum": 0.5}
    return world.resume(world.place(STEP2, name="checkpoint_latest.pth"), Seg, seg=settings)


ANOTHER_RUN = "--c after the split, the data, the batch size or the normalization were changed"

for cls, trainer in ((Init, STEP1), (Seg, STEP2)):

    @row(ANOTHER_RUN, "1 training cases are new: case_", "1 training cases are gone: case_", case=f"split, {trainer}")
    def _(world: World, cls: type = cls, trainer: str = trainer) -> Act:
        split = world.folder / "splits_final.json"
        (first, *others) = json.loads(split.read_text())
        moved = {"train": [*first["train"][1:], *first["val"]], "val": first["train"][:1]}
        split.write_text(json.dumps([moved, *others]))
        return world.resume(world.place(trainer, name="checkpoint_latest.pth"), cls)

    @row(ANOTHER_RUN, "plan.batch_size: 2, here 3", case=f"batch size, {trainer}")
    def _(world: World, cls: type = cls, trainer: str = trainer) -> Act:
        world.configuration["batch_size"] = 3
        return world.resume(world.place(trainer, name="checkpoint_latest.pth"), cls)

    @row(ANOTHER_RUN, "plan.normalization_schemes: ['ZScoreNormalization'], here", case=f"normalization, {trainer}")
    def _(world: World, cls: type = cls, trainer: str = trainer) -> Act:
        world.configuration["normalization_schemes"] = ["CTNormalization"]
        return world.resume(world.place(trainer, name="checkpoint_latest.pth"), cls)

    @row(ANOTHER_RUN, "1 cases are others than then: case_2", case=f"data, {trainer}")
    def _(world: World, cls: type = cls, trainer: str = trainer) -> Act:
        image, segmentation = make_case(2, Options())
        rewrite(world.cases, "case_2", image * 2, segmentation)
        return world.resume(world.place(trainer, name="checkpoint_latest.pth"), cls)


@row("--c after the labels in dataset.json were changed", "dataset.json.labels.one: 1, here 2")
def _(world: World) -> Act:
    world.write_dataset_json(labels={"background": 0, "one": 2, "two": 1})
    return world.resume(world.place(STEP2, name="checkpoint_latest.pth"), Seg)


for cls, trainer in ((Init, STEP1), (Seg, STEP2)):

    @row("a training that is started anew over a finished one", trainer, case=trainer)
    def _(world: World, cls: type = cls, trainer: str = trainer) -> Act:
        world.place(trainer)
        world.type_command()
        return world.train(cls, seg={"epochs": 2, "start": "random"})
