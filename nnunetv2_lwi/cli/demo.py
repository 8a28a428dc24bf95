"""``nnUNetv2_lwi demo``: the whole job through nnU-Net's own commands, on a phantom or on a data set of the user's."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import time
from pathlib import Path

from nnunetv2_lwi.cli.options import add_device_option, add_output_option
from nnunetv2_lwi.demonstration.execution import readable, run_stage
from nnunetv2_lwi.demonstration.place import Demo, check_dataset, check_output, prepare
from nnunetv2_lwi.demonstration.plans import DEMO_PLANS, NNUNET_PLANS, demo_plans
from nnunetv2_lwi.demonstration.stages import stages
from nnunetv2_lwi.disk import write_json
from nnunetv2_lwi.names import STEP1_TRAINER, STEP2_TRAINER
from nnunetv2_lwi.nnunet.commands import external_trainers, shell_exports, shell_line, stock_command

EXAMPLES = ("demo", "demo -i $nnUNet_raw/Dataset004_Hippocampus -o /scratch/demo -device cpu")
PAGE = "start/first_run.md"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the demo takes."""
    add_output_option(parser, "folder to work in (default: %(default)s)", "--output", default=Path("lwi_demo"))
    parser.add_argument("--overwrite", action="store_true", help="remove what an earlier demo left in that folder")
    parser.add_argument(
        "-i", "--dataset", dest="dataset", type=Path, help="raw data set to use, which is only read (default: a phantom)"
    )
    add_device_option(parser, found_out=True)


def run(arguments: argparse.Namespace) -> None:
    """Run the demo.

    Raises:
        UserError: the data set or the output folder cannot be used, or one of nnU-Net's commands failed.
    """
    started = time.monotonic()
    output = Path(os.path.abspath(arguments.output))
    dataset = None if arguments.dataset is None else Path(os.path.abspath(arguments.dataset))
    if dataset is not None:
        check_dataset(dataset)
    check_output(output, dataset, arguments.overwrite)
    name = "Dataset001_Phantom" if dataset is None else dataset.name
    demo = Demo(output, name, usable_device(arguments.device))
    prepare(demo, dataset)
    print_setting(demo)
    for number, stage in enumerate(stages(demo), start=1):
        run_stage(demo, number, stage)
        if stage.name == "plan":
            write_demo_plans(demo)
    report(demo)
    print(f"The whole demo took {readable(time.monotonic() - started)}.")


def usable_device(given: str | None) -> str:
    """The device that was asked for; else CUDA where there is a GPU.

    Raises:
        UserError: this machine does not have it.
    """
    import torch

    from nnunetv2_lwi.training.machine.devices import require_device

    device = given or ("cuda" if torch.cuda.is_available() else "cpu")
    require_device(torch.device(device))
    return device


def print_setting(demo: Demo) -> None:
    """What is about to happen, and what to export to type the commands oneself."""
    source = "a generated phantom" if not demo.raw.is_symlink() else f"{demo.raw.readlink()} (only read)"
    scripts = Path(stock_command("nnUNetv2_train")[0]).parent
    exports = shell_exports({**demo.variables, "nnUNet_extTrainer": external_trainers()})
    print(f"Learnable weight initialization with nnU-Net on {source}, on {demo.device}, in {demo.folder}.")
    print("The commands below can be typed in a shell after:\n")
    for line in (f'export PATH={shlex.quote(str(scripts))}:"$PATH"', *exports):
        print(f"    {line}")
    print(flush=True)


def write_demo_plans(demo: Demo) -> None:
    """Write the demo's own plans beside nnU-Net's.

    Raises:
        UserError: nnU-Net planned no 3D configuration.
    """
    plans = json.loads((demo.preprocessed / f"{NNUNET_PLANS}.json").read_text(encoding="utf-8"))
    path = demo.preprocessed / f"{DEMO_PLANS}.json"
    write_json(path, demo_plans(plans))
    print(f"A small network and a few short epochs, with the settings in an lwi block: {path}\n", flush=True)


def report(demo: Demo) -> None:
    """Print the Dice of step 2's predictions and where pictures and checkpoints lie."""
    from nnunetv2_lwi.datasets.dice import dice_by_name

    summary, what = demo.predictions / "summary.json", "test images"
    if not summary.is_file():
        summary, what = (
            demo.fold(STEP2_TRAINER) / "validation" / "summary.json",
            "validation cases (no labelled test images)",
        )
    labels = json.loads((demo.preprocessed / "dataset.json").read_text(encoding="utf-8"))["labels"]
    print(f"Dice of step 2's predictions of the {what}, mean over cases:")
    for name, dice in dice_by_name(json.loads(summary.read_text(encoding="utf-8")), labels).items():
        print(f"    {name}: {dice:.3f}")
    print(f"    from {summary}")
    step1, step2 = demo.fold(STEP1_TRAINER), demo.fold(STEP2_TRAINER)
    print("\nPictures:")
    for picture in [*(fold / "progress.png" for fold in (step1, step2)), *sorted((step1 / "validation").glob("*.png"))]:
        print(f"    {picture}")
    print(f"    {step1 / 'pictures'} (during training)")
    print("Checkpoints:")
    for fold in (step1, step2):
        print(f"    {fold / 'checkpoint_final.pth'}")
    names = ["-d", demo.dataset_name, "-c", "3d_fullres", "-p", DEMO_PLANS, "-f", "0"]
    print("Next, after the exports above:")
    print(f"    {shell_line(['nnUNetv2_lwi', 'report', *names])}    # all of it on one page")
    print("On your own data: docs/start/first_run.md")
