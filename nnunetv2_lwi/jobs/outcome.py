"""What a finished job leaves: where its model is, how well it did in validation, and what to type next."""

from __future__ import annotations

from collections.abc import Sequence

from nnunetv2_lwi.jobs.status import validation_dice
from nnunetv2_lwi.markdown import table
from nnunetv2_lwi.names import FINAL, STEP2_TRAINER
from nnunetv2_lwi.nnunet.commands import shell_line
from nnunetv2_lwi.nnunet.split_file import FOLDS
from nnunetv2_lwi.nnunet.target import Target


def outcome(targets: Sequence[Target]) -> str | None:
    """For the screen; None where no fold has a finished step 2.

    Args:
        targets: the folds of one configuration.
    """
    folders = {str(target.fold): target.output_folder(STEP2_TRAINER) for target in targets}
    done = {fold: folder for fold, folder in folders.items() if (folder / FINAL).is_file()}
    if not done:
        return None
    one = targets[0]
    rows = [("fold", "Dice in validation", "model")]
    for fold, folder in done.items():
        dice = validation_dice(folder)
        rows.append((fold, "" if dice is None else f"{dice:.4f}", str(folder / FINAL)))
    lines = [f"\nTrained: {one.dataset_name}, {one.configuration}, plans {one.plans_name}.", table(rows)]
    return "\n".join([*lines, "Next:", *(f"  {shell_line(command)}" for command in next_commands(one, list(done)))])


def next_commands(target: Target, folds: Sequence[str]) -> list[list[str]]:
    """Prediction by the folds that are done; once all are, nnU-Net's choice of configuration too."""
    of_model = ["-c", target.configuration, "-f", *folds, "-p", target.plans_name, "-tr", STEP2_TRAINER]
    commands = [["nnUNetv2_predict", "-i", "IN", "-o", "OUT", "-d", target.dataset_name, *of_model]]
    if set(folds) >= set(map(str, range(FOLDS))):
        of_choice = ["-c", target.configuration, "-p", target.plans_name, "-tr", STEP2_TRAINER]
        commands.insert(0, ["nnUNetv2_find_best_configuration", target.dataset_name, *of_choice, "--disable_ensembling"])
    return commands
