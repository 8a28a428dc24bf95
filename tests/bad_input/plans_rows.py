"""Plans, dataset.json, split, folders and environment that a training cannot use."""

from __future__ import annotations

import json
import shutil
from typing import Any

import torch
from batchgenerators.utilities.file_and_folder_operations import load_pickle, save_pickle

from tests.bad_input.table import Act, Init, Seg, World, row
from tests.tiny_dataset import NAME


@row("a plans file that is missing", "Missing.json", case="check")
def _(world: World) -> Act:
    return world.check(world.file(), "-p", "Missing")


@row("a plans file that is missing", "Missing.json", case="train")
def _(world: World) -> Act:
    return world.command("train", "999", "3d_fullres", "0", "-p", "Missing", "-device", "cpu")


@row("a plans file that is no JSON", case="check")
def _(world: World) -> Act:
    (world.folder / "nnUNetPlans.json").write_text("{")
    return world.check(world.file())


@row("a plans file that is no JSON", case="train")
def _(world: World) -> Act:
    (world.folder / "nnUNetPlans.json").write_text("{")
    return world.command("train", "999", "3d_fullres", "0", "-device", "cpu")


@row("a plans file that holds no object")
def _(world: World) -> Act:
    (world.folder / "nnUNetPlans.json").write_text("[]")
    return world.check(world.file())


@row("a plans file that goes by another name within", "'nnUNetPlans'", "Copy.json")
def _(world: World) -> Act:
    shutil.copy(world.folder / "nnUNetPlans.json", world.folder / "Copy.json")
    return world.check(world.file(), "-p", "Copy")


@row("a plans file that was copied from another data set", "'Dataset008_Other'", "Copy.json")
def _(world: World) -> Act:
    plans = {**world.dataset.plans, "plans_name": "Copy", "dataset_name": "Dataset008_Other"}
    (world.folder / "Copy.json").write_text(json.dumps(plans))
    return world.check(world.file(), "-p", "Copy")


@row("plans that lack a name or the configurations", "configurations is missing")
def _(world: World) -> Act:
    del world.dataset.plans["configurations"]
    return lambda: Init(world.dataset.plans, "3d_fullres", 0, world.dataset.dataset_json, torch.device("cpu"))


for key, value in (("dataset_name", "Tiny"), ("plans_name", 3), ("configurations", [1]), ("configurations", {"a": 1})):

    @row("plans with a nonsensical name or configurations", f"{key} = {value!r}", case=f"{key}={value!r}")
    def _(world: World, key: str = key, value: Any = value) -> Act:
        plans = world.dataset.plans | {key: value}
        return lambda: Init(plans, "3d_fullres", 0, world.dataset.dataset_json, torch.device("cpu"))


for key in ("data_identifier", "batch_size", "patch_size", "spacing", "normalization_schemes"):

    @row("a configuration that lacks what a training reads", f"{key} is missing", case=key)
    def _(world: World, key: str = key) -> Act:
        del world.configuration[key]
        return world.train(Seg)


for key, value in (
    ("patch_size", "8x16x16"),
    ("patch_size", [8, -16, 16]),
    ("batch_size", 0),
    ("spacing", [2.0, 0, 1.0]),
    ("use_mask_for_norm", [1]),
    ("architecture", "PlainConvUNet"),
):

    @row("a configuration with a nonsensical value", f"{key} = {value!r}", case=f"{key}={value!r}")
    def _(world: World, key: str = key, value: Any = value) -> Act:
        world.configuration[key] = value
        return world.train(Init)


for cls in (Init, Seg):

    @row("an architecture that lacks a key", "arch_kwargs is missing", case=cls.__name__)
    def _(world: World, cls: type = cls) -> Act:
        del world.configuration["architecture"]["arch_kwargs"]
        return world.train(cls)

    @row("an architecture that its network does not take", "TypeError", "'depth'", case=f"unknown, {cls.__name__}")
    def _(world: World, cls: type = cls) -> Act:
        world.configuration["architecture"]["arch_kwargs"]["depth"] = 3
        return world.train(cls)

    @row("an architecture that its network does not take", "PlainConvUNet", case=f"lengths, {cls.__name__}")
    def _(world: World, cls: type = cls) -> Act:
        world.configuration["architecture"]["arch_kwargs"]["features_per_stage"] = [4, 8]
        return world.train(cls)

    @row("a patch that the network cannot halve as often as it must", "[2, 1, 8, 18, 16]", case=cls.__name__)
    def _(world: World, cls: type = cls) -> Act:
        world.configuration["patch_size"] = [8, 18, 16]
        return world.train(cls)

    @row("a network class that does not exist", "my_network.Net", case=cls.__name__)
    def _(world: World, cls: type = cls) -> Act:
        world.configuration["architecture"]["network_class_name"] = "my_network.Net"
        return world.train(cls)


@row("a network class whose module cannot be imported", "broken_network.Net", "no_such_package")
def _(world: World) -> Act:
    (world.root / "broken_network.py").write_text("import no_such_package\n")
    world.monkeypatch.syspath_prepend(world.root)
    world.configuration["architecture"]["network_class_name"] = "broken_network.Net"
    return world.train(Seg)


for parents in ({"child": "nowhere"}, {"child": "other", "other": "child"}):

    @row("a configuration that inherits from nothing, or in a circle", case=str(parents))
    def _(world: World, parents: dict[str, str] = parents) -> Act:
        world.dataset.plans["configurations"] |= {name: {"inherits_from": parent} for name, parent in parents.items()}
        return world.train(Init, "child")


@row("a configuration that the plans do not have", "3d_lowres", "They have: 3d_fullres")
def _(world: World) -> Act:
    return world.train(Init, "3d_lowres")


@row("a 2D configuration", "3d_fullres")
def _(world: World) -> Act:
    return world.train(Init, "2d")


@row("the second stage of a cascade", "3d_fullres")
def _(world: World) -> Act:
    return world.train(Seg, "3d_cascade_fullres")


@row("a spacing that the inherited data do not have", "[3.0, 1.0, 1.0]", "[2.0, 1.0, 1.0]")
def _(world: World) -> Act:
    return world.train(Init, "other_spacing")


for cls in (Init, Seg):

    @row("preprocessed data of another spacing than the plan's", "[2.0, 1.0, 1.0] mm", "case_0", case=cls.__name__)
    def _(world: World, cls: type = cls) -> Act:
        path = str(world.dataset.cases / "case_0.pkl")
        save_pickle(load_pickle(path) | {"shape_after_cropping_and_before_resampling": (99, 20, 18)}, path)
        return world.train(cls)


@row("a dataset.json that is missing")
def _(world: World) -> Act:
    (world.folder / "dataset.json").unlink()
    return world.check(world.file())


@row("a dataset.json without labels or channels", "labels is missing", case="labels")
def _(world: World) -> Act:
    del world.dataset.dataset_json["labels"]
    return world.train(Seg)


@row("a dataset.json without labels or channels", "channel_names is missing", case="channels")
def _(world: World) -> Act:
    del world.dataset.dataset_json["channel_names"]
    return world.train(Init)


@row("labels that nnU-Net cannot read")
def _(world: World) -> Act:
    world.write_dataset_json(labels={"one": 1, "two": 2})
    return world.train(Seg)


@row("other channels in dataset.json than in the plan", "names 2 ", "for 1:")
def _(world: World) -> Act:
    world.write_dataset_json(channel_names={"0": "T1", "1": "T2"})
    return world.train(Init)


@row("a split file that is no JSON")
def _(world: World) -> Act:
    (world.folder / "splits_final.json").write_text("[")
    return world.train(Init)


for splits in ({"train": ["case_0"]}, [{"train": ["case_0"]}], [{"train": 1, "val": 2}]):

    @row("a split file that holds no splits", case=str(splits))
    def _(world: World, splits: Any = splits) -> Act:
        (world.folder / "splits_final.json").write_text(json.dumps(splits))
        return world.train(Init)


for train, val, part in (([], ["case_0"], "training"), (["case_0"], [], "validation")):

    @row("a fold without cases", f"no {part} cases", case=part)
    def _(world: World, train: list[str] = train, val: list[str] = val) -> Act:
        (world.folder / "splits_final.json").write_text(json.dumps([{"train": train, "val": val}]))
        return world.train(Init)


@row("a split that names cases which are not there", "1 cases", "case_9")
def _(world: World) -> Act:
    (world.folder / "splits_final.json").write_text(json.dumps([{"train": ["case_0", "case_9"], "val": ["case_1"]}]))
    return world.train(Seg, seg={"epochs": 1, "start": "random"})


for variable in ("nnUNet_preprocessed", "nnUNet_results"):

    @row("an environment variable of nnU-Net's that is not set", variable, case=f"{variable}, check")
    def _(world: World, variable: str = variable) -> Act:
        world.monkeypatch.delenv(variable)
        return world.check(world.file())

    @row("an environment variable of nnU-Net's that is not set", variable, case=f"{variable}, train")
    def _(world: World, variable: str = variable) -> Act:
        world.monkeypatch.delenv(variable)
        return world.command("train", "999", "3d_fullres", "0", "-device", "cpu")

    @row("a trainer made by other code without nnU-Net's environment variables", case=variable)
    def _(world: World, variable: str = variable) -> Act:
        world.monkeypatch.delenv(variable)
        return world.train(Init)


@row("a data set that is not there", "Data set 997")
def _(world: World) -> Act:
    return world.command("train", "997", "3d_fullres", "0", "-device", "cpu")


@row("data that are not preprocessed", f"{NAME}/other:", "-d 999 -plans_name nnUNetPlans -c 3d_fullres")
def _(world: World) -> Act:
    world.configuration["data_identifier"] = "other"
    return world.train(Init)


@row("a fingerprint that is missing", "-d 999")
def _(world: World) -> Act:
    (world.folder / "dataset_fingerprint.json").unlink()
    return world.train(Seg)


for device in ("cuda", "mps"):

    @row(f"{device.upper()} on a machine without it", "append -device cpu")
    def _(world: World, device: str = device) -> Act:
        world.monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        world.monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
        plans = world.dataset.plans
        return lambda: Init(plans, "3d_fullres", 0, world.dataset.dataset_json, torch.device(device))


@row("a preset that does not exist", "Did you mean unetr?")
def _(world: World) -> Act:
    return world.command("plan", "-d", "999", "--preset", "unet")


@row("nnUNetv2_lwi plan without a data set")
def _(world: World) -> Act:
    return world.command("plan", "--preset", "none")


@row("--set with a key that the plan does not have", "Did you mean lwi.init.epochs?")
def _(world: World) -> Act:
    return world.command("plan", "-d", "999", "--preset", "none", "--set", "lwi.init.epoch=3")


@row("--set with a value that is not allowed", "batch_size=0")
def _(world: World) -> Act:
    return world.command("plan", "-d", "999", "--preset", "none", "--set", "batch_size=0")


@row("new plans that would overwrite nnU-Net's", "nnUNetPlans")
def _(world: World) -> Act:
    return world.command("plan", "-d", "999", "--preset", "none", "-o", "nnUNetPlans")


for name, where in (("lwi", "the plans"), ("LWI", "configuration 3d_fullres")):

    @row("an lwi block in a wrong place, or nearly of that name", f"{name} in {where}", case=f"{name} in {where}")
    def _(world: World, name: str = name, where: str = where) -> Act:
        (world.dataset.plans if where == "the plans" else world.configuration)[name] = {"seed": 1}
        return world.train(Init)


@row("labels with a gap in dataset.json", "up to 3 but not 2,")
def _(world: World) -> Act:
    world.write_dataset_json(labels={"background": 0, "one": 1, "three": 3})
    return world.train(Seg, seg={"epochs": 1, "start": "random"})


@row("labels that the final validation compares with and that are not there", "gt_segmentations", case="nnUNetv2_lwi train")
def _(world: World) -> Act:
    shutil.rmtree(world.folder / "gt_segmentations")
    return world.command("train", "999", "3d_fullres", "0", "-device", "cpu")


@row("labels of validation cases that are not there", "1 validation cases: case_")
def _(world: World) -> Act:
    (case,) = json.loads((world.folder / "splits_final.json").read_text())[0]["val"]
    (world.folder / "gt_segmentations" / f"{case}.nii.gz").unlink()
    return world.train(Seg, seg={"epochs": 1, "start": "random"})


@row("a file ending that the plan's reader does not read", ".tif, which SimpleITKIO")
def _(world: World) -> Act:
    world.dataset.plans["image_reader_writer"] = "SimpleITKIO"
    world.write_dataset_json(file_ending=".tif")
    return world.train(Seg, seg={"epochs": 1, "start": "random"})


@row("a reader of images that is not there", "ReaderOfMine")
def _(world: World) -> Act:
    world.dataset.plans["image_reader_writer"] = "ReaderOfMine"
    return world.train(Seg, seg={"epochs": 1, "start": "random"})


@row("files among the preprocessed cases that are none", ".DS_Store")
def _(world: World) -> Act:
    (world.cases / ".DS_Store").touch()
    return world.train(Init)


@row("more GPUs than there are", "-num_gpus 2")
def _(world: World) -> Act:
    world.monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    return world.command("train", "999", "3d_fullres", "0", "-num_gpus", 2)


@row("several GPUs on another device", "-num_gpus 2", "not cpu")
def _(world: World) -> Act:
    return world.command("train", "999", "3d_fullres", "0", "-num_gpus", 2, "-device", "cpu")


@row("Weights & Biases asked for and not installed")
def _(world: World) -> Act:
    world.monkeypatch.setenv("nnUNet_wandb_enabled", "1")
    return world.train(Init)
