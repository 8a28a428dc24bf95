"""nnU-Net's own commands, as this package starts them: where they are, their environment, how they are written down."""

import importlib.resources
import json
import os
import shlex
import shutil
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path

from nnunetv2_lwi.errors import UserError


def trainers_folder() -> Path:
    """The folder that `nnUNet_extTrainer` has to name for nnU-Net to find the two trainers."""
    return Path(str(importlib.resources.files("nnunetv2_lwi.trainers")))


def external_trainers() -> str:
    """A value for `nnUNet_extTrainer`: our trainers first, then whatever the user already has there."""
    ours = str(trainers_folder())
    theirs = os.environ.get("nnUNet_extTrainer", "").split(os.pathsep)
    return os.pathsep.join([ours, *(path for path in theirs if path.strip() and path != ours)])


def nnunet_environment(**variables: str | os.PathLike[str]) -> dict[str, str]:
    """The environment for a stock command: the user's own, `variables` over it, and our trainers within reach."""
    given = {name: os.fspath(value) for name, value in variables.items()}
    return {**os.environ, **given, "nnUNet_extTrainer": external_trainers()}


def scripts_folders() -> list[Path]:
    """Where this interpreter's console scripts lie: its own folder, then the one of `pip install --user`."""
    user_scheme = sysconfig.get_preferred_scheme("user")
    return [Path(sysconfig.get_path("scripts")), Path(sysconfig.get_path("scripts", user_scheme))]


def stock_command(entry: str, *arguments: str | os.PathLike[str]) -> list[str]:
    """The command line that runs nnU-Net's console script `entry` with the interpreter that runs us.

    The script is taken from this interpreter's own folders, never from PATH, where another environment may come first.
    """
    script = shutil.which(entry, path=os.pathsep.join(map(str, scripts_folders())))
    if script is None:
        raise UserError(f"{entry} is not in {scripts_folders()[0]}: install nnunetv2 into this environment.")
    return [script, *(os.fspath(argument) for argument in arguments)]


def shell_line(command: Sequence[str]) -> str:
    """`command` as a user types it: the script by its name, arguments quoted where the shell needs it."""
    return shlex.join([Path(command[0]).name, *command[1:]])


def shell_exports(variables: Mapping[str, str | os.PathLike[str]]) -> list[str]:
    """One `export NAME=VALUE` line per variable, quoted for the shell."""
    return [f"export {name}={shlex.quote(os.fspath(value))}" for name, value in variables.items()]


def what_is_left(fold_folder: Path, start: Sequence[str] = ()) -> list[str] | None:
    """What to append to ``nnUNetv2_train`` for a training of which something may be done already.

    Args:
        fold_folder: what the training writes to.
        start: what to append if nothing is done.

    Returns:
        ``start``, ``--c``, ``--val``, or None where nothing is left.
    """
    if (fold_folder / "checkpoint_final.pth").is_file():
        return None if _is_whole_json(fold_folder / "validation" / "summary.json") else ["--val"]
    if any((fold_folder / f"checkpoint_{kind}.pth").is_file() for kind in ("latest", "best")):
        return ["--c"]
    return list(start)


def _is_whole_json(path: Path) -> bool:
    """Whether there is a file, and no kill cut it short: nnU-Net writes it in place."""
    try:
        json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return True
