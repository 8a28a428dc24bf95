"""``nnUNetv2_lwi plan``: a preset, or the ``lwi`` block alone, in a copy of a plans file."""

from __future__ import annotations

import argparse
import json
import re
import textwrap
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnunetv2_lwi.cli.options import add_dataset_option, add_output_option, add_plans_option, add_set_option
from nnunetv2_lwi.disk import write_json
from nnunetv2_lwi.errors import BadUsage, UserError
from nnunetv2_lwi.names import STEP1_TRAINER, STEP2_TRAINER
from nnunetv2_lwi.nnunet.commands import shell_line
from nnunetv2_lwi.nnunet.target import Target, read_target
from nnunetv2_lwi.planning.settings import LWISettings

if TYPE_CHECKING:
    from nnunetv2_lwi.planning.presets import Preset

SOURCE_WIDTH = 60
COLUMNS = ("preset", "network", "patch", "spacing (mm)", "batch", "optimiser, step 1 / step 2", "source")
OF_THE_PLAN = "the plan's"
EXAMPLES = (
    "plan --list",
    "plan -d 4 --set lwi.init.epochs=50 --baseline",
    "plan -d 17 --preset unetr_pp_synapse -o nnUNetPlans_mine",
)
PAGE = "reference/settings.md"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Names as in nnU-Net's commands."""
    parser.add_argument("--list", action="store_true", help="show the presets and stop")
    add_dataset_option(parser, required=False)
    parser.add_argument(
        "--preset",
        default="none",
        help="a preset, a JSON file of your own, or none for nnU-Net's own network (default: none)",
    )
    add_plans_option(parser, "plans to start from")
    parser.add_argument("-c", dest="configuration", help="configuration to inherit from (default: the preset's, 3d_fullres)")
    add_output_option(
        parser,
        "name of the plans to write (default: PLANS_PRESET; PLANS_lwi with --preset none)",
        dest="new_plans_name",
        type=str,
        metavar="NEW_PLANS",
    )
    parser.add_argument(
        "--baseline",
        action="store_true",
        help="write also the twin NEW_PLANS_random: the same training from a random start, on the same preprocessed data",
    )
    add_set_option(parser, "a value of the configuration", "lwi.init.epochs=50")
    parser.add_argument("--overwrite", action="store_true", help="replace plans that this command wrote earlier")


def run(arguments: argparse.Namespace) -> None:
    """Write new plans, tried out, and print the commands to run next; or list the presets.

    Raises:
        UserError: data set, plans, preset or values are not possible, or the new file exists.
    """
    if arguments.list:
        print_presets()
        return
    if arguments.dataset is None:
        raise BadUsage("Name a data set with -d; nnUNetv2_lwi plan --list shows the presets.")
    from nnunetv2_lwi.planning.application import RANDOM_TWIN, apply_preset, configuration_name, random_twin
    from nnunetv2_lwi.planning.overrides import parse_overrides
    from nnunetv2_lwi.planning.presets import load_preset
    from nnunetv2_lwi.planning.spacing import borrowed_data_problem
    from nnunetv2_lwi.training.trial import try_plan

    preset = load_preset(arguments.preset)
    preset.require_packages()
    overrides = parse_overrides(arguments.overrides)
    parent = arguments.configuration or preset.inherits_from
    target = read_target(arguments.dataset, arguments.plans_name, parent, 0)
    new_name = arguments.new_plans_name or f"{target.plans_name}_{'lwi' if preset.name == 'none' else preset.name}"
    path = free_path(target, new_name, arguments.overwrite)
    twin_path = free_path(target, f"{new_name}{RANDOM_TWIN}", arguments.overwrite) if arguments.baseline else None
    plans = apply_preset(target.plans, preset, parent, new_name, overrides, segmentation_heads(target))
    configuration = configuration_name(preset, parent)
    problem = borrowed_data_problem(plans, configuration, target.plans)
    if problem is not None:
        raise UserError(f"--set {problem}: leave data_identifier out and preprocess anew, or keep the spacing.")
    losses = try_plan(plans, configuration, target.dataset_json)
    twin = random_twin(plans, configuration) if arguments.baseline else None
    write_json(path, plans)
    if twin is not None and twin_path is not None:
        write_json(twin_path, twin)
    print_outcome(path, configuration, losses)
    print_decisions(plans, configuration)
    print_memory(plans, configuration, target)
    if twin_path is not None:
        print(f"Wrote {twin_path}: the same training from a random start, on the same preprocessed data.")
    print_commands("Next", next_commands(target, plans, configuration))
    if twin is not None:
        print_commands("Baseline", training_commands(target, twin, configuration))


def segmentation_heads(target: Target) -> int:
    """How many outputs step 2's network has."""
    from nnunetv2_lwi.planning.configuration import label_manager

    return int(label_manager(target.plans, target.dataset_json).num_segmentation_heads)


def free_path(target: Target, new_name: str, overwrite: bool) -> Path:
    """Where the new plans go: beside the old ones, never over them, nor over plans of nnU-Net's.

    Raises:
        UserError: the name is not possible, or taken.
    """
    if not re.fullmatch(r"[\w.-]+", new_name) or "__" in new_name:
        raise UserError(f"-o {new_name}: plans are named with letters, digits, '.', '-' and '_', and without '__'.")
    path = target.plans_file.with_name(f"{new_name}.json")
    if new_name == target.plans_name:
        raise UserError(f"-o {new_name} would overwrite the plans that it starts from: name other ones.")
    if path.exists():
        if not written_by_us(path):
            raise UserError(f"{path} was not written by nnUNetv2_lwi plan and stays: name other plans with -o.")
        if not overwrite:
            raise UserError(f"{path} exists: append --overwrite to replace it, or name other plans with -o.")
    return path


def written_by_us(path: Path) -> bool:
    """Whether a plans file says that this command made it."""
    from nnunetv2_lwi.planning.application import ORIGIN_KEY

    try:
        return ORIGIN_KEY in json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, TypeError):
        return False


def print_outcome(path: Path, configuration: str, losses: dict[str, float]) -> None:
    """What was written, and what trying it gave."""
    tried = ", ".join(f"{name} {value:.3g}" for name, value in losses.items() if name.endswith("loss"))
    print(f"Wrote {path}: configuration {configuration}, B = {losses['slabs']}. Step 1 on noise, untrained: {tried}.")


def print_decisions(plans: dict[str, Any], configuration: str) -> None:
    """What the plan leaves to the recipe, as a training would take it now."""
    from nnunetv2_lwi.nnunet.inheritance import resolve
    from nnunetv2_lwi.planning.settings import decisions

    for decision in decisions(resolve(plans, configuration)):
        print(f"  {decision}")


def print_memory(plans: dict[str, Any], configuration: str, target: Target) -> None:
    """What a GPU must have for either step, by estimate."""
    from nnunetv2_lwi.networks.memory import GIB
    from nnunetv2_lwi.training.trial import memory_of_steps

    with suppress(UserError):  # an estimate that is not to be had stops nobody
        needed = memory_of_steps(plans, configuration, target.dataset_json)
        print(
            f"GPU memory by estimate, beside what the driver takes: step 1 {needed['init'] / GIB:.1f} GiB, "
            f"step 2 {needed['seg'] / GIB:.1f} GiB."
        )


def next_commands(target: Target, plans: dict[str, Any], configuration: str) -> list[list[str]]:
    """From the new plans to predictions; preprocessing only where the data differ from the parent's."""
    from nnunetv2_lwi.nnunet.folders import number_of
    from nnunetv2_lwi.nnunet.inheritance import resolve
    from nnunetv2_lwi.unlabelled.alone import is_alone, on_scans_alone

    name, dataset = plans["plans_name"], target.dataset_name
    if is_alone(resolve(on_scans_alone(plans, configuration), configuration)):
        return [["nnUNetv2_train", dataset, configuration, "all", "-p", name, "-tr", STEP1_TRAINER]]
    commands = []
    identifier = resolve(plans, configuration)["data_identifier"]
    if identifier != resolve(target.plans, target.configuration)["data_identifier"]:
        number = str(number_of(dataset))
        commands.append(["nnUNetv2_preprocess", "-d", number, "-plans_name", name, "-c", configuration])
        if scans_beside(target):
            commands.append(["nnUNetv2_lwi", "unlabelled", "-d", number, "-p", name, "-c", configuration])
    predict = ["nnUNetv2_predict", "-i", "IN", "-o", "OUT", "-d", dataset, "-c", configuration, "-f", "0", "-p", name]
    return [*commands, *training_commands(target, plans, configuration), [*predict, "-tr", STEP2_TRAINER]]


def scans_beside(target: Target) -> bool:
    """Whether the parent's configuration has scans without labels, which other data do not."""
    from nnunetv2_lwi.nnunet.inheritance import resolve
    from nnunetv2_lwi.unlabelled.folder import UnlabelledFolder

    identifier = resolve(target.plans, target.configuration)["data_identifier"]
    return bool(UnlabelledFolder.beside(target.plans_file.parent, identifier).files())


def training_commands(target: Target, plans: dict[str, Any], configuration: str) -> list[list[str]]:
    """Both steps; step 2 alone where it starts random."""
    from nnunetv2_lwi.nnunet.inheritance import resolve

    settings = LWISettings.from_configuration(resolve(plans, configuration))
    trainers = (STEP2_TRAINER,) if settings.seg.start == "random" else (STEP1_TRAINER, STEP2_TRAINER)
    words = ["nnUNetv2_train", target.dataset_name, configuration, "0", "-p", plans["plans_name"]]
    return [[*words, "-tr", trainer] for trainer in trainers]


def print_commands(title: str, commands: Sequence[Sequence[str]]) -> None:
    """As they are typed."""
    print(f"{title}:")
    for command in commands:
        print(f"  {shell_line(command)}")


def print_presets() -> None:
    """A table of the presets, from their files alone."""
    from nnunetv2_lwi.planning.presets import list_presets

    rows = [COLUMNS, *map(table_row, list_presets())]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS) - 1)]
    for row in rows:
        start = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False))
        first, *more = textwrap.wrap(row[-1], SOURCE_WIDTH)
        print(f"{start}  {first}")
        for line in more:
            print(" " * (len(start) + 2) + line)


def table_row(preset: Preset) -> tuple[str, ...]:
    """What a preset sets, by :data:`COLUMNS`; where it says nothing the plan's own holds."""
    configuration = preset.configuration
    network = configuration["architecture"]["network_class_name"].rpartition(".")[2]
    edges = (["x".join(map(str, configuration[key]))] if key in configuration else [] for key in ("patch_size", "spacing"))
    patch, spacing = ("".join(edge) or OF_THE_PLAN for edge in edges)
    batch = str(configuration.get("batch_size", OF_THE_PLAN))
    steps = LWISettings.from_configuration(configuration)
    optimizers = " / ".join(f"{step.optimizer} {step.lr:g}" for step in (steps.init, steps.seg))
    missing = [f"needs {package}" for package in preset.missing_packages()]
    return preset.name, network, patch, spacing, batch, optimizers, "; ".join([preset.source, *missing])
