"""Settings of the ``lwi`` block that are out of range, unknown or contradict each other."""

from __future__ import annotations

import math
from typing import Any

import torch

from tests.bad_input.table import Act, Init, Seg, World, row

OUT_OF_RANGE: dict[str, list[Any]] = {
    "num_subvolumes": [1, 2.0, True],
    "masking.strategy": ["cube"],
    "masking.ratio": [1, -0.1, "0.4", math.nan],
    "masking.patch_size": [[16, 16], 16, [16, 0, 16]],
    "recipe": ["nnU-Net"],
    "reconstruction_outputs": ["none"],
    "order_heads": ["transformer"],
    "order_weight": [-1, math.inf],
    "reconstruction_weight": [math.nan, None],
    "order_levels": [[], [1, 1], [-1], 2],
    "iterations_per_epoch": [0],
    "val_iterations_per_epoch": [0],
    "augmentation_device": ["gpu"],
    "seed": [-1, 1.5],
    "init.unlabelled": ["some", 0, 1.5],
    "init.labelled_share": [0, 1, "half"],
    "seg.start": ["step2"],
    "seg.hand_over": ["decoder"],
    "seg.initialization": ["he"],
}
OF_BOTH_STEPS: dict[str, list[Any]] = {
    "epochs": [0, 1.5],
    "optimizer": ["Adam"],
    "lr": [0, math.inf],
    "weight_decay": [-1],
    "momentum": [1],
    "nesterov": [1],
    "betas": [[0.9], [0.9, 1]],
    "schedule": ["step"],
    "warmup_epochs": [-1],
    "gradient_clip": [0],
}


def nested(key: str, value: Any) -> dict[str, Any]:
    """``{"init": {"lr": 0}}`` for ``init.lr``."""
    first, _, rest = key.partition(".")
    return {first: nested(rest, value) if rest else value}


def enter(wrong: str, key: str, value: Any) -> None:
    """A value that is out of range, met by the trainer of the step that it belongs to."""

    @row(wrong, f"lwi.{key} = {value!r} ", case=f"{key}={value!r}")
    def _(world: World) -> Act:
        return world.train(Seg if key.startswith("seg") else Init, **nested(key, value))


for key, values in OUT_OF_RANGE.items():
    for value in values:
        enter(f"lwi.{key} out of range", key, value)
for key, values in OF_BOTH_STEPS.items():
    for step in ("init", "seg"):
        for value in values:
            enter(f"lwi.init.{key} or lwi.seg.{key} out of range", f"{step}.{key}", value)

for block, unknown, meant in (
    ({"num_subvolume": 4}, "lwi.num_subvolume ", "num_subvolumes"),
    ({"masking": {"rato": 0.1}}, "lwi.masking.rato ", "ratio"),
    ({"seg": {"epoch": 1}}, "lwi.seg.epoch ", "epochs"),
):

    @row("an unknown key that resembles a setting", unknown, f"Did you mean {meant}?", case=unknown)
    def _(world: World, block: dict[str, Any] = block) -> Act:
        return world.train(Seg, **block)


for block, unknown in (({"init": {"learning_rate": 0.1}}, "learning_rate"), ({"init": {"start": "random"}}, "start")):

    @row("an unknown key that resembles none", f"lwi.init.{unknown} ", case=unknown)
    def _(world: World, block: dict[str, Any] = block) -> Act:
        return world.train(Init, **block)


@row("a value where a block of settings is meant", "lwi.init in the plan is 3;")
def _(world: World) -> Act:
    return world.train(Init, init=3)


@row("the whole lwi block is no object", "lwi in the plan is []")
def _(world: World) -> Act:
    world.configuration["lwi"] = []
    return lambda: Init(world.dataset.plans, "3d_fullres", 0, world.dataset.dataset_json, torch.device("cpu"))


@row("both objectives switched off")
def _(world: World) -> Act:
    return world.train(Init, order_weight=0, reconstruction_weight=0)


for step in ("init", "seg"):

    @row("a warm-up that is no shorter than the training", f"lwi.{step}.epochs = 5", case=step)
    def _(world: World, step: str = step) -> Act:
        return world.train(Init, **{step: {"epochs": 5, "warmup_epochs": 5}})

    @row("Nesterov momentum without momentum", f"lwi.{step}.momentum = 0", case=step)
    def _(world: World, step: str = step) -> Act:
        return world.train(Seg, **{step: {"momentum": 0}})


@row("an initialization that step 1 would overwrite", "'xavier_normal'")
def _(world: World) -> Act:
    return world.train(Seg, seg={"initialization": "xavier_normal"})


@row("a number of slabs that does not divide the patch", "lwi.num_subvolumes = 3 ", "(2, 4, 8)")
def _(world: World) -> Act:
    return world.train(Init, num_subvolumes=3)


@row("an order level that cannot tell the slabs' order", "level 1 ", "[1]")
def _(world: World) -> Act:
    return world.train(Init, num_subvolumes=8, order_levels=[1])
