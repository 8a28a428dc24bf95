"""A training by nnU-Net's own command, in a process of its own."""

from __future__ import annotations

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.jobs.steps import Training
from nnunetv2_lwi.nnunet.commands import nnunet_environment, run_command, shell_line, stock_command


def run_apart(training: Training) -> None:
    """Run ``nnUNetv2_train`` to its end.

    Raises:
        UserError: it failed.
        AskedToEnd: by a signal, which the command got too.
    """
    command = stock_command("nnUNetv2_train", *training.words)
    print(f"{training.trainer}: {shell_line(command)}", flush=True)
    code = run_command(command, nnunet_environment())
    if code != 0:
        raise UserError(
            f"{training.trainer} ended with exit code {code}; the reason stands above. Run the same command to go on."
        )
