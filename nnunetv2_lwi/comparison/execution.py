"""One training of the work list: nnU-Net's own command, resumed where it was cut, then scores and the result."""

from __future__ import annotations

import subprocess
import time
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from nnunetv2_lwi.comparison.origin import note_origin, read_origins
from nnunetv2_lwi.comparison.preconditions import require_same_data
from nnunetv2_lwi.comparison.probes import Areas, probe
from nnunetv2_lwi.comparison.results import read_result
from nnunetv2_lwi.comparison.scoring import score
from nnunetv2_lwi.comparison.source import digest_of_file
from nnunetv2_lwi.comparison.workplace import FOLD, Workplace
from nnunetv2_lwi.disk import write_json
from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.handover.checkpoint import LWI_KEY, read_checkpoint
from nnunetv2_lwi.names import FINAL
from nnunetv2_lwi.nnunet.commands import (
    in_a_process_of_its_own,
    nnunet_environment,
    run_command,
    shell_line,
    stock_command,
    what_is_left,
)

LINES_OF_A_FAILURE = 3


def execute(place: Workplace, device: str) -> None:
    """Run what is left of a training, probe a step 1 or score what is left of a step 2, and write ``result.json``.

    Where scoring fails, what was scored until then is kept.

    Raises:
        UserError: nnU-Net's command failed, or cases could not be scored.
    """
    train(place, device)
    if device != "cuda":
        finish(place, device)
        return
    try:
        in_a_process_of_its_own(finish, place, device)
    except BrokenProcessPool as error:
        if not place.training.is_step1:
            raise
        write_step1(place, _not_probed(place, error))


def finish(place: Workplace, device: str) -> None:
    """Probe a finished step 1, or score what is left of a finished step 2, and write ``result.json``.

    Raises:
        UserError: cases could not be scored.
    """
    remove_spare_checkpoints(place)
    if place.training.is_step1:
        write_step1(place, probe_or_say_why_not(place, device))
        return
    result = read_result(place) or _describe(place)
    try:
        started = time.monotonic()
        score(place, device, result)
        result["scoring_seconds"] = time.monotonic() - started + result.get("scoring_seconds", 0)
    finally:
        write_json(place.result, result)


def probe_or_say_why_not(place: Workplace, device: str) -> Areas:
    """Nothing, and a line in the training's log, where it goes wrong: what starts from a step 1 needs no probe of it."""
    try:
        return probe(place, device)
    except (Exception, UserError) as error:  # a signal that asks to end is neither
        return _not_probed(place, error)


def _not_probed(place: Workplace, error: BaseException) -> Areas:
    with place.log.open("a", encoding="utf-8") as log:
        log.write(f"Not probed: {type(error).__name__}: {error} To try again, remove {place.result}.\n")
    return {}


def write_step1(place: Workplace, areas: Areas) -> None:
    """The result of a finished step 1."""
    write_json(place.result, _describe(place) | {"probe": areas})


def _describe(place: Workplace) -> dict[str, Any]:
    return describe_training(place) | {"origins": read_origins(place)}


def train(place: Workplace, device: str) -> None:
    """Prepare the folders and run what is left of the training.

    Raises:
        UserError: nnU-Net's command failed; its output is in the training's log. Or data or weights changed.
    """
    place.prepare()
    weights = place.training.weights
    start = [] if weights is None else ["-pretrained_weights", str(weights)]
    how = what_is_left(place.fold_folder, start)
    if how is None:
        return
    require_same_data(place.source, place.configuration_name, place.training)
    if weights is not None and digest_of_file(weights) != place.training.weights_digest:
        raise UserError(f"{weights} is another file now than when the comparison was called: name a file that stays.")
    words = [place.source.name, place.configuration_name, str(FOLD), "-tr", place.training.trainer, "-p", place.plans_name]
    command = stock_command("nnUNetv2_train", *words, *([] if device == "cuda" else ["-device", device]), *how)
    note_origin(place, device)
    with place.log.open("ab") as log:
        environment = nnunet_environment(**place.environment)
        log.write(f"nnUNet_compile={environment['nnUNet_compile']} {shell_line(command)}\n".encode())
        log.flush()
        code = run_command(command, environment, stdout=log, stderr=subprocess.STDOUT)
    if code != 0:
        lines = place.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        last = " | ".join(lines[-LINES_OF_A_FAILURE:])
        raise UserError(f"nnUNetv2_train ended with exit code {code}: {last} (all of it: {place.log})")
    require_same_data(place.source, place.configuration_name, place.training, finished=True)


def describe_training(place: Workplace) -> dict[str, Any]:
    """Length and time of a finished training, step 2's learning curve, and images of the test that step 1 saw."""
    checkpoint = read_checkpoint(place.fold_folder / FINAL)
    logging, state = checkpoint["logging"], checkpoint[LWI_KEY]
    spans = zip(logging["epoch_start_timestamps"], logging["epoch_end_timestamps"], strict=False)
    return {
        "iterations": place.training.iterations,
        "seconds": sum(end - start for start, end in spans),
        "pseudo_dice": [float(value) for value in logging.get("mean_fg_dice", [])],
        "test_images": list(state.get("provenance", {}).get("test_images", [])),
    }


def remove_spare_checkpoints(place: Workplace) -> None:
    """What a finished training does not need any more: best and latest; the final one stays."""
    for kind in ("best", "latest"):
        (place.fold_folder / f"checkpoint_{kind}.pth").unlink(missing_ok=True)
