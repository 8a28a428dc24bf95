"""nnU-Net's own commands, as this package starts them: where they are, their environment, how they are written down."""

import ctypes
import importlib.resources
import json
import multiprocessing
import os
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, TypeVar
from zipfile import is_zipfile

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.interruption import ASKED_TO_END, AskedToEnd, Interruption
from nnunetv2_lwi.names import FINAL

Value = TypeVar("Value")

PR_SET_PDEATHSIG = 1
"""Linux's prctl: which signal comes when the parent ends."""

TIED = """
import ctypes, os, signal, sys
PR_SET_PDEATHSIG = 1
ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""
"""Becomes the command that follows; the kernel kills it when the process of the number before it ends, however it ends."""


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


def run_command(command: Sequence[str], environment: Mapping[str, str], **how: Any) -> int:
    """Run a command to its end and give its exit code; it ends when this process is killed.

    Else the same command, called again, would be a second writer to its folder. Elsewhere than on Linux it may outlive
    this process where that is killed by SIGKILL.

    It is asked to end when this process is (SIGTERM, SIGUSR1), and this process then waits for it and ends too.

    Args:
        how: more for :class:`subprocess.Popen`.

    Raises:
        AskedToEnd: it was, and the command has ended.
    """
    with (
        subprocess.Popen(tied_to_this_process(command), env=environment, **how) as process,
        Interruption(process) as interruption,
    ):
        code = process.wait()
    if interruption.asked or code == ASKED_TO_END:
        raise AskedToEnd(f"{Path(command[0]).name} was asked to end, and has. The same command goes on from there.").told()
    return code


def tied_to_this_process(command: Sequence[str]) -> list[str]:
    """The command line that runs it so that it ends when this process is killed."""
    tied = [sys.executable, "-I", "-S", "-c", TIED, str(os.getpid())] if sys.platform == "linux" else []
    return [*tied, *command]


def in_a_process_of_its_own(function: Callable[..., Value], *arguments: Any) -> Value:
    """Call a function in a new process, which ends with this one, and return what it returns or raise what it raises.

    What it takes of a GPU is free again when it returns; a process that used one itself keeps some of its memory to its end.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context, initializer=end_with_parent) as pool:
        return pool.submit(function, *arguments).result()


def end_with_parent() -> None:
    """Of a worker: end when the process that started it ends, however it does, or has ended already; on Linux."""
    parent = multiprocessing.parent_process()
    if sys.platform == "linux" and parent is not None:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent.pid:
            os._exit(1)


def shell_line(command: Sequence[str]) -> str:
    """`command` as a user types it: the script by its name, arguments quoted where the shell needs it."""
    return shlex.join([Path(command[0]).name, *command[1:]])


def shell_exports(variables: Mapping[str, str | os.PathLike[str]]) -> list[str]:
    """One `export NAME=VALUE` line per variable, quoted for the shell."""
    return [f"export {name}={shlex.quote(os.fspath(value))}" for name, value in variables.items()]


def what_is_left(fold_folder: Path, start: Sequence[str] = (), probabilities_beside: str | None = None) -> list[str] | None:
    """What to append to ``nnUNetv2_train`` for a training of which something may be done already.

    Args:
        fold_folder: what the training writes to.
        start: what to append if nothing is done.
        probabilities_beside: ending of the predictions beside which the final validation is to have put probabilities.

    Returns:
        ``start``, ``--c``, ``--val``, or None where nothing is left.
    """
    if (fold_folder / FINAL).is_file():
        validation = fold_folder / "validation"
        whole = _is_whole_json(validation / "summary.json") and _have_probabilities(validation, probabilities_beside)
        return None if whole else ["--val"]
    if any((fold_folder / f"checkpoint_{kind}.pth").is_file() for kind in ("latest", "best")):
        return ["--c"]
    return list(start)


def _have_probabilities(validation: Path, ending: str | None) -> bool:
    """Whether there are predictions, each with its probabilities beside it, where they are asked for.

    nnU-Net writes these in place: a file that was cut short has no end that zip files have.
    """
    if ending is None:
        return True
    predictions = [path.name.removesuffix(ending) for path in validation.glob(f"*{ending}")]
    whole = (is_zipfile(validation / f"{case}.npz") and (validation / f"{case}.pkl").is_file() for case in predictions)
    return bool(predictions) and all(whole)


def _is_whole_json(path: Path) -> bool:
    """Whether there is a file, and no kill cut it short: nnU-Net writes it in place."""
    try:
        json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return True
