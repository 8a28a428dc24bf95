"""What is left of both steps of a training: which of nnU-Net's trainings to call, and how each begins or goes on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.jobs.fit import check_for
from nnunetv2_lwi.names import FINAL, STEP1_TRAINER, STEP2_TRAINER
from nnunetv2_lwi.nnunet.commands import what_is_left
from nnunetv2_lwi.nnunet.target import Target


@dataclass(frozen=True)
class Job:
    """Both steps of one fold, as asked for.

    Attributes:
        device: cuda, cpu or mps.
        gpus: that nnU-Net's command is to use; 1 in a group of processes, whose ranks have one each.
        ranks: that share a batch.
        probabilities: whether step 2's final validation saves them (``--npz``).
        step1: to start step 2 from; then no step 1 is run.
        grow: whether step 1 goes on from one on fewer scans without labels.
    """

    target: Target
    device: str = "cuda"
    gpus: int = 1
    ranks: int = 1
    probabilities: bool = False
    step1: Path | None = None
    grow: bool = False


@dataclass(frozen=True)
class Training:
    """One call of ``nnUNetv2_train``: its words after the command's name, and the trainer that stands among them."""

    trainer: str
    words: list[str]


def trainings_left(job: Job) -> Iterator[Training]:
    """What is left of both steps; each is to be run before the next is asked for, for it depends on what lies there then.

    Raises:
        UserError: the training cannot start.
    """
    from nnunetv2_lwi.handover.checkpoint import newest_checkpoint
    from nnunetv2_lwi.training.step2_needs import require_declared_labels

    target = job.target
    require_labelled_cases(target)
    require_both_steps(job)
    if job.step1 is not None:
        check_for(job.step1, target)
    step1_needed = is_step1_needed(target, job.step1)
    if job.grow and not step1_needed and is_growth_asked_for_in_vain(target, job.step1):
        raise UserError(
            f"--grow trains step 1 on, and here none is to be run: where step 2 has begun, move "
            f"{target.output_folder(STEP2_TRAINER)} away first; leave --grow out with --step1 and a random start."
        )
    if newest_checkpoint(target.output_folder(STEP2_TRAINER)) is None:
        require_declared_labels(target)
    if step1_needed:
        yield from _left_of(job, STEP1_TRAINER, begin_step1(target, job.grow))
        check_for(target.output_folder(STEP1_TRAINER) / FINAL, target)
    start = ["-pretrained_weights", str(job.step1)] if job.step1 is not None else []
    yield from _left_of(job, STEP2_TRAINER, start)


def _left_of(job: Job, trainer: str, start: list[str]) -> Iterator[Training]:
    """One step: begin, resume, validate or skip it, according to what lies in its output folder."""
    target, probabilities = job.target, job.probabilities and trainer == STEP2_TRAINER
    folder = target.output_folder(trainer)
    how = what_is_left(folder, start, str(target.dataset_json["file_ending"]) if probabilities else None)
    if how is None:
        print(f"{trainer}: finished, skipped ({folder}).")
        return
    words = [target.dataset_name, target.configuration, str(target.fold), "-tr", trainer, "-p", target.plans_name]
    words += ["-device", job.device] if job.device != "cuda" else []
    words += ["-num_gpus", str(job.gpus)] if job.gpus > 1 else []
    words += ["--npz"] if probabilities else []
    yield Training(trainer, words + how)


def require_labelled_cases(target: Target) -> None:
    """Raises:
    UserError: there are only scans without labels, of which step 1 alone can be trained.
    """
    from nnunetv2_lwi.nnunet.inheritance import resolve
    from nnunetv2_lwi.unlabelled.alone import is_alone, on_scans_alone

    if is_alone(resolve(on_scans_alone(target.plans, target.configuration), target.configuration)):
        raise UserError(
            f"{target.dataset_name} has no preprocessed labelled cases, which step 2 needs. Step 1 alone: nnUNetv2_train "
            f"{target.dataset_name} {target.configuration} all -tr {STEP1_TRAINER} -p {target.plans_name}."
        )


def begin_step1(target: Target, grow: bool) -> list[str]:
    """What to append to step 1's command where it is to begin: its old weights, when it grows.

    Raises:
        UserError: another step 1 is there than the one that is asked for.
    """
    from nnunetv2_lwi.handover.checkpoint import newest_checkpoint
    from nnunetv2_lwi.handover.growth import earlier_weights, put_aside
    from nnunetv2_lwi.handover.record import only_scans_are_new

    folder = target.output_folder(STEP1_TRAINER)
    checkpoint = newest_checkpoint(folder)
    changes = [] if checkpoint is None else changes_of(target, STEP1_TRAINER, checkpoint)
    if checkpoint is not None and grow and only_scans_are_new(changes):
        aside = put_aside(folder)
        print(f"{'; '.join(changes)}. The step 1 on fewer scans is kept in {aside}, and its weights start the new one.")
        return ["-pretrained_weights", str(aside / checkpoint.name)]
    if checkpoint is not None and checkpoint.name != FINAL and only_scans_are_new(changes):
        return []  # it goes on with the scans that it began with, and says so
    require_unchanged(target, STEP1_TRAINER)
    earlier = earlier_weights(folder) if checkpoint is None else None
    if earlier is None:
        return []
    changes = changes_of(target, STEP1_TRAINER, earlier)
    if changes and not only_scans_are_new(changes):
        if grow:
            raise UserError(
                f"--grow: {earlier} was trained otherwise than now asked for: {'; '.join(changes)}. Undo the change, or "
                "leave --grow out to begin anew."
            )
        return []
    if not grow:
        print(f"Step 1 begins anew; with --grow it would go on from {earlier}.")
        return []
    return ["-pretrained_weights", str(earlier)]


def require_both_steps(job: Job) -> None:
    """Look at what either step needs before the first begins, which may take days.

    Raises:
        UserError: as :func:`~nnunetv2_lwi.training.preconditions.require_trainable`, there are not as many GPUs, or they
            are more than there are samples in a batch.
    """
    import torch

    from nnunetv2_lwi.training.machine.devices import require_gpus
    from nnunetv2_lwi.training.preconditions import require_trainable

    target, together = job.target, job.gpus * job.ranks
    require_gpus(job.device, job.gpus)
    require_a_sample_each(target, together)
    if job.device == "cuda":
        tell_what_does_not_fit(target, together)
    for trainer in (STEP1_TRAINER, STEP2_TRAINER):
        require_trainable(
            trainer, target.plans, target.configuration, target.fold, target.dataset_json, torch.device(job.device)
        )


def require_a_sample_each(target: Target, together: int) -> None:
    """Raises:
    UserError: more GPUs or ranks share a batch than it has samples.
    """
    from nnunetv2_lwi.planning.configuration import resolve_configuration

    samples = resolve_configuration(target.plans, target.configuration).batch_size
    if samples < together:
        raise UserError(
            f"A batch of {target.configuration} has {samples} samples, too few for {together} GPUs or processes that share "
            "it: take fewer, or plan a larger batch (nnUNetv2_lwi plan --set batch_size=...)."
        )


def tell_what_does_not_fit(target: Target, gpus: int) -> None:
    """Of both steps, before the first begins: step 2, with its classes, may need more memory than step 1."""
    from nnunetv2_lwi.errors import tell
    from nnunetv2_lwi.nnunet.commands import in_a_process_of_its_own
    from nnunetv2_lwi.training.machine.devices import does_not_fit, memory_of_gpu
    from nnunetv2_lwi.training.trial import memory_of_steps

    there = in_a_process_of_its_own(memory_of_gpu)
    needed = memory_of_steps(target.plans, target.configuration, target.dataset_json, gpus)
    for name, step in (("Step 1", "init"), ("Step 2", "seg")):
        if warning := does_not_fit(name, needed[step], there):
            tell(f"WARNING: {warning}")


def is_step1_needed(target: Target, named: Path | None) -> bool:
    """Whether step 1 is to be run: not where one is named, the plan starts step 2 random, or step 2 has begun.

    Args:
        named: a step 1 to start from.

    Raises:
        UserError: step 2 has begun, but is not the one that is asked for.
    """
    from nnunetv2_lwi.planning.configuration import resolve_configuration
    from nnunetv2_lwi.planning.settings import LWISettings

    begun = require_unchanged(target, STEP2_TRAINER, named)
    settings = LWISettings.from_configuration(resolve_configuration(target.plans, target.configuration).configuration)
    if settings.seg.start == "random":
        print('No step 1: the plan says "start": "random".')
        return False
    if begun is not None:
        print(f"{STEP1_TRAINER}: skipped, step 2 has begun ({begun}).")
        tell_of_new_scans(target)
    return named is None and begun is None


def is_growth_asked_for_in_vain(target: Target, named: Path | None) -> bool:
    """Not where step 2 has begun from a step 1 on all scans: the same command, typed again, goes on with it."""
    from nnunetv2_lwi.handover.checkpoint import newest_checkpoint

    begun = newest_checkpoint(target.output_folder(STEP2_TRAINER)) is not None
    return named is not None or not begun or bool(new_scans(target))


def new_scans(target: Target) -> list[str]:
    """In words; none where a step 1 is not at hand, or something else differs too, which is not for a step 2 to say."""
    from nnunetv2_lwi.handover.checkpoint import newest_checkpoint
    from nnunetv2_lwi.handover.record import only_scans_are_new

    checkpoint = newest_checkpoint(target.output_folder(STEP1_TRAINER))
    try:
        changes = [] if checkpoint is None else changes_of(target, STEP1_TRAINER, checkpoint)
    except UserError:
        return []
    return changes if only_scans_are_new(changes) else []


def tell_of_new_scans(target: Target) -> None:
    """A step 2 that has begun from a step 1 on fewer scans goes on; that there are more is said."""
    if changes := new_scans(target):
        print(
            f"{'; '.join(changes)}. To use them, move {target.output_folder(STEP2_TRAINER)} away and append --grow: step 1 "
            "goes on from its weights, and step 2 is trained again."
        )


def require_unchanged(target: Target, trainer: str, named: Path | None = None) -> Path | None:
    """Never take a training of other settings, cases or data, or from another start, for the one that is asked for.

    Args:
        named: a step 1 that step 2 is to start from.

    Returns:
        The checkpoint that the training goes on from, if it has begun.

    Raises:
        UserError: there is another training.
    """
    from nnunetv2_lwi.handover.checkpoint import newest_checkpoint
    from nnunetv2_lwi.handover.record import only_scans_are_new
    from nnunetv2_lwi.planning.recipes import way_back

    folder = target.output_folder(trainer)
    checkpoint = newest_checkpoint(folder)
    changes = [] if checkpoint is None else changes_of(target, trainer, checkpoint, named)
    if changes:
        growing = "Move"
        if only_scans_are_new(changes):
            growing = f"Append --grow to train on from its weights, or --step1 {checkpoint} to use it as it is, or move"
        raise UserError(
            f"{checkpoint} was trained otherwise than now asked for: {'; '.join(changes)}{way_back(changes)}. {growing} "
            f"{folder} away, or use plans of another name (-p)."
        )
    return checkpoint


def changes_of(target: Target, trainer: str, checkpoint: Path, named: Path | None = None) -> list[str]:
    """One text per thing in which the training of a checkpoint differs from the one that is asked for.

    Raises:
        UserError: the checkpoint is another trainer's.
    """
    from nnunetv2_lwi.handover.suitability import changes_since, read_run

    state = read_run(checkpoint, trainer)
    changes = changes_since(state, trainer, target.plans, target.configuration, target.dataset_json, target.cases())
    if named is not None and not _began_from(named, start := state["start"]):
        changes.append(f"start: {start.get('path') or start['kind']}, here {named}")
    return changes


def _began_from(step1: Path, start: Mapping[str, Any]) -> bool:
    """Whether a training did, as far as its checkpoint tells; a file that was moved since cannot be compared."""
    path = start.get("path")
    return start["kind"] != "random" and (path is None or not Path(path).exists() or step1.samefile(path))
