"""``nnUNetv2_lwi demo``: the whole job through nnU-Net's own commands, on a phantom or on a data set of the user's."""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nnunetv2_lwi.cli.commands import (
    external_trainers,
    nnunet_environment,
    shell_exports,
    shell_line,
    stock_command,
)
from nnunetv2_lwi.cli.demo_plans import CONFIGURATION, DEMO_PLANS, NNUNET_PLANS, demo_plans
from nnunetv2_lwi.disk import require_writable
from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.names import STEP1_TRAINER, STEP2_TRAINER

MARKER = ".nnunetv2_lwi_demo"
"""Stands in every folder that a demo made; only such a folder is ever removed."""

SMALL_MACHINE = {
    "nnUNet_def_n_proc": "2",
    "nnUNet_n_proc_DA": "1",
    "nnUNet_npp": "1",
    "nnUNet_nps": "1",
    "OMP_NUM_THREADS": "1",
    "GOMP_SPINCOUNT": "10000",
    "nnUNet_compile": "f",
}
"""Few processes, no compilation, and no thread that spins while it waits: where a core is missing, spinning makes training
on the CPU several times slower. What the user's shell already says comes first."""

CASES_NEEDED = 5
"""nnU-Net splits the training cases into five folds."""
LINES_OF_A_FAILURE = 20
SECONDS_BETWEEN_LOOKS = 0.2
NOISE = re.compile(r"^\d{4}-\d\d-\d\d [\d:.]+: |np\.float\d+(?=\()")
"""Time stamps, and numpy's names in front of its numbers."""
TELLING = ("order accuracy", "Pseudo dice", "Start: ", "Mean Validation Dice")
"""How the lines of nnU-Net's output begin that are shown while it runs."""


@dataclass(frozen=True)
class Demo:
    """Where everything of one demo lies."""

    folder: Path
    dataset_name: str
    device: str

    @property
    def folders(self) -> dict[str, Path]:
        """nnU-Net's three folders, by the names of their variables."""
        return {name: self.folder / name for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")}

    @property
    def raw(self) -> Path:
        """The raw data set, or the link to it."""
        return self.folders["nnUNet_raw"] / self.dataset_name

    @property
    def preprocessed(self) -> Path:
        """The preprocessed data set and its plans."""
        return self.folders["nnUNet_preprocessed"] / self.dataset_name

    @property
    def dataset_id(self) -> str:
        """The number in the data set's name."""
        return str(int(self.dataset_name[7:10]))

    @property
    def predictions(self) -> Path:
        """The segmentations of the test cases."""
        return self.folder / "predictions"

    @property
    def device_argument(self) -> list[str]:
        """For nnU-Net's commands, which run on CUDA unless told otherwise."""
        return [] if self.device == "cuda" else ["-device", self.device]

    @property
    def variables(self) -> dict[str, str]:
        """What has to be exported for the commands."""
        small = {name: os.environ.get(name, value) for name, value in SMALL_MACHINE.items()}
        return {name: str(folder) for name, folder in self.folders.items()} | small

    def fold(self, trainer: str) -> Path:
        """What a trainer writes for fold 0."""
        model = f"{trainer}__{DEMO_PLANS}__{CONFIGURATION}"
        return self.folders["nnUNet_results"] / self.dataset_name / model / "fold_0"


@dataclass(frozen=True)
class Stage:
    """One command of the demo, with what it is for."""

    name: str
    purpose: str
    command: list[str]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the demo takes."""
    parser.add_argument("--output", type=Path, default=Path("lwi_demo"), help="folder to work in (default: %(default)s)")
    parser.add_argument("--overwrite", action="store_true", help="remove what an earlier demo left in that folder")
    parser.add_argument("--dataset", type=Path, help="raw data set to use, which is only read (default: a phantom)")
    parser.add_argument(
        "-device", "--device", choices=("cpu", "cuda", "mps"), help="(default: cuda where there is a GPU, else cpu)"
    )


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


def check_dataset(dataset: Path) -> None:
    """Whether nnU-Net could use it.

    Raises:
        UserError: it is missing, wrongly named, or incomplete.
    """
    if not dataset.is_dir():
        raise UserError(f"There is no folder {dataset}: --dataset names a data set in nnU-Net's raw format.")
    if not re.fullmatch(r"Dataset\d{3}_.+", dataset.name):
        raise UserError(f"{dataset} is not named as nnU-Net needs it: call the folder Dataset, three digits, _, a name.")
    try:
        ending = json.loads((dataset / "dataset.json").read_text(encoding="utf-8"))["file_ending"]
        if not isinstance(ending, str):
            raise TypeError(f"file_ending is {ending!r}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{dataset / 'dataset.json'} is missing, no JSON, or has no file_ending ({error!r}).") from error
    for folder in ("imagesTr", "labelsTr"):
        if count_files(dataset / folder, ending) < CASES_NEEDED:
            raise UserError(
                f"{dataset / folder} must exist and hold at least {CASES_NEEDED} {ending} files: nnU-Net makes five folds."
            )


def check_output(output: Path, dataset: Path | None, overwrite: bool) -> None:
    """Whether a demo may write there.

    Raises:
        UserError: the folder lies in the data set, is an earlier demo's, holds something else, or cannot be written to.
    """
    require_writable(output, "give another --output")
    if dataset is not None and output.resolve().is_relative_to(dataset.resolve()):
        raise UserError(f"{output} lies in the data set, which is only read: give another --output.")
    if dataset is not None and dataset.resolve().is_relative_to(output.resolve()):
        raise UserError(f"{output} holds the data set, and --overwrite would remove it: give another --output.")
    if output.is_dir() and not any(output.iterdir()):
        return
    if (output / MARKER).is_file() and not overwrite:
        raise UserError(f"{output} holds an earlier demo: give --overwrite to remove it, or another --output.")
    if output.exists() and not (output / MARKER).is_file():
        raise UserError(f"{output} exists and is not an earlier demo's: give another --output.")


def count_files(folder: Path, ending: str) -> int:
    """How many files in a folder have this ending; 0 where there is no folder."""
    return sum(path.name.endswith(ending) for path in folder.iterdir()) if folder.is_dir() else 0


def usable_device(given: str | None) -> str:
    """The device that was asked for; else CUDA where there is a GPU.

    Raises:
        UserError: this machine does not have it.
    """
    import torch

    from nnunetv2_lwi.training.preconditions import require_device

    device = given or ("cuda" if torch.cuda.is_available() else "cpu")
    require_device(torch.device(device))
    return device


def prepare(demo: Demo, dataset: Path | None) -> None:
    """Make the demo's folder anew, with the phantom or a link to the user's data set."""
    from nnunetv2_lwi.phantom import write_phantom

    demo.folder.mkdir(parents=True, exist_ok=True)
    clear(demo.folder)
    (demo.folder / MARKER).touch()
    for folder in (*demo.folders.values(), demo.folder / "logs"):
        folder.mkdir()
    if dataset is None:
        write_phantom(demo.raw)
    else:
        demo.raw.symlink_to(dataset, target_is_directory=True)


def clear(folder: Path) -> None:
    """Remove what an earlier demo left, its marker apart; the folder stays, for it may be a link or the current one."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != MARKER:
            path.unlink()


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


def stages(demo: Demo) -> Iterator[Stage]:
    """The commands in their order; a data set without test images is judged by its validation cases."""
    checkpoint = demo.fold(STEP1_TRAINER) / "checkpoint_final.pth"
    yield Stage(
        "plan",
        "nnU-Net looks at the images, plans a network and preprocesses.",
        stock_command("nnUNetv2_plan_and_preprocess", "-d", demo.dataset_id, "-c", CONFIGURATION, "-npfp", "2", "-np", "2"),
    )
    yield Stage(
        "step1",
        "Step 1 learns the starting weights from the images alone: put shuffled slabs in order, fill in what is masked.",
        train_command(demo, STEP1_TRAINER),
    )
    yield Stage(
        "step2",
        "Step 2 learns to segment from those weights and predicts the validation cases.",
        train_command(demo, STEP2_TRAINER, "-pretrained_weights", str(checkpoint)),
    )
    if not has_files(demo.raw / "imagesTs"):
        return
    yield Stage("predict", "The trained network segments the test images.", predict_command(demo))
    if has_files(demo.raw / "labelsTs"):
        yield Stage("evaluate", "nnU-Net compares that with the test labels.", evaluate_command(demo))


def has_files(folder: Path) -> bool:
    """Whether there is such a folder with something in it."""
    return folder.is_dir() and any(folder.iterdir())


def train_command(demo: Demo, trainer: str, *more: str) -> list[str]:
    """``nnUNetv2_train`` on fold 0 with the demo's plans."""
    words = [demo.dataset_id, CONFIGURATION, "0", "-tr", trainer, "-p", DEMO_PLANS]
    return stock_command("nnUNetv2_train", *words, *more, *demo.device_argument)


def predict_command(demo: Demo) -> list[str]:
    """``nnUNetv2_predict`` on the test images."""
    folders = ["-i", str(demo.raw / "imagesTs"), "-o", str(demo.predictions)]
    model = ["-d", demo.dataset_id, "-c", CONFIGURATION, "-f", "0", "-tr", STEP2_TRAINER, "-p", DEMO_PLANS]
    return stock_command("nnUNetv2_predict", *folders, *model, *demo.device_argument)


def evaluate_command(demo: Demo) -> list[str]:
    """``nnUNetv2_evaluate_folder`` on the predictions."""
    files = ["-djfile", str(demo.preprocessed / "dataset.json"), "-pfile", str(demo.preprocessed / f"{DEMO_PLANS}.json")]
    return stock_command("nnUNetv2_evaluate_folder", demo.raw / "labelsTs", demo.predictions, *files, "--chill")


def write_demo_plans(demo: Demo) -> None:
    """Write the demo's own plans beside nnU-Net's.

    Raises:
        UserError: nnU-Net planned no 3D configuration.
    """
    plans = json.loads((demo.preprocessed / f"{NNUNET_PLANS}.json").read_text(encoding="utf-8"))
    path = demo.preprocessed / f"{DEMO_PLANS}.json"
    path.write_text(json.dumps(demo_plans(plans), indent=4), encoding="utf-8")
    print(f"A small network and a few short epochs, with the settings in an lwi block: {path}\n", flush=True)


def run_stage(demo: Demo, number: int, stage: Stage) -> None:
    """Say what is run, run it with its output in a log, and say how long it took.

    Raises:
        UserError: the command failed; the end of its output is printed before.
    """
    log = demo.folder / "logs" / f"{number}_{stage.name}.log"
    print(f"{number}. {stage.purpose}\n\n    {shell_line(stage.command)}\n", flush=True)
    started = time.monotonic()
    environment = nnunet_environment(**demo.variables, PYTHONUNBUFFERED="1")
    with (
        log.open("wb") as sink,
        subprocess.Popen(stage.command, env=environment, stdout=sink, stderr=subprocess.STDOUT) as process,
    ):
        for line in follow(process, log):
            show_if_telling(line)
    if process.returncode != 0:
        print("\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-LINES_OF_A_FAILURE:]))
        raise UserError(f"{Path(stage.command[0]).name} ended with exit code {process.returncode}; its output is in {log}.")
    print(f"   done in {readable(time.monotonic() - started)}, output in {log}\n", flush=True)


def follow(process: subprocess.Popen[bytes], log: Path) -> Iterator[str]:
    """The lines of a log as they are written, until the process ends.

    A pipe would not do: workers that outlive a killed nnU-Net keep it open, and reading it would wait for them.
    """
    rest = ""
    with log.open(encoding="utf-8", errors="replace") as source:
        running = True
        while running:
            running = process.poll() is None
            *lines, rest = (rest + source.read()).split("\n")
            yield from lines
            if running:
                time.sleep(SECONDS_BETWEEN_LOOKS)
    yield rest


def show_if_telling(line: str) -> None:
    """Print a line of nnU-Net's output that says how training goes."""
    text = NOISE.sub("", line).strip()
    if text.startswith(TELLING):
        print(f"   {text}", flush=True)


def readable(seconds: float) -> str:
    """A duration in words: 75 becomes 1 min 15 s."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def report(demo: Demo) -> None:
    """Print the Dice of step 2's predictions and where pictures and checkpoints lie."""
    from nnunetv2_lwi.dice import dice_by_name

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
