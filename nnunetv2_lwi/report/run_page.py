"""The page of a run: both steps of a fold, as far as they are."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Iterator, Sequence

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.jobs.status import FINISHED
from nnunetv2_lwi.nnunet.target import Target, parse_fold, read_target
from nnunetv2_lwi.report.examples import CASES, is_small, make_examples
from nnunetv2_lwi.report.markup import Html, joined, listed, paragraph, tag
from nnunetv2_lwi.report.page import Section, section, subheading, whole_page
from nnunetv2_lwi.report.pictures import step1_pictures
from nnunetv2_lwi.report.places import RunPlace
from nnunetv2_lwi.report.provenance import provenance_of, warnings_of
from nnunetv2_lwi.report.run import Step, read_steps
from nnunetv2_lwi.report.settings import settings_of
from nnunetv2_lwi.report.slices import shown_examples
from nnunetv2_lwi.report.training_curves import slabs_chance, step1_curves, step2_curves
from nnunetv2_lwi.report.validation import dice_tables, step1_validation


def run_page(place: RunPlace, slices: int | None = None) -> str:
    """The text of the file.

    Args:
        slices: of how many cases slices are rendered; None: of a few where the patch is small.

    Raises:
        UserError: a checkpoint cannot be read safely, or slices that were asked for cannot be rendered.
    """
    steps = read_steps(place)
    sections = [one for step in steps for one in (_step1(step, place, slices) if step.number == 1 else _step2(step))]
    sections += [_settings(steps), _provenance(steps), section("Warnings", warnings_of(steps))]
    title = f"{place.dataset}: {place.configuration}, {place.plans}, fold {place.fold}"
    return whole_page(title, _introduction(place, steps), sections)


def _introduction(place: RunPlace, steps: Sequence[Step]) -> Html:
    names = {"data set": place.dataset, "plans": place.plans, "configuration": place.configuration, "fold": place.fold}
    lines = [tag("li", f"{what}: ", tag("strong", name)) for what, name in names.items()]
    states = [tag("li", f"step {step.number}: ", *_state(step)) for step in steps]
    missing = sorted({1, 2} - {step.number for step in steps})
    states += [tag("li", f"step {number}: ", tag("span", "not begun", class_="state")) for number in missing]
    return joined(tag("ul", *lines, *states), _unfinished(steps))


def _state(step: Step) -> Iterator[Html]:
    one = step.standing
    yield tag("span", one.state, class_="state")
    if one.epoch is not None:
        yield joined(f" epoch {one.epoch} of {one.epochs}")
    if one.ends is not None:
        yield joined(f", ends about {one.ends}")
    if one.by is not None:
        yield joined(f"; {'by' if one.state == 'running' else 'last by'} {one.by}")
    if one.dice is not None:
        yield joined(f"; Dice of the validation {one.dice:.4f}")
    if one.stale is not None:
        yield joined(f"; stale: {one.stale}")


def _unfinished(steps: Sequence[Step]) -> Html | None:
    """What the page can and cannot show of a training that has not ended."""
    texts = []
    for step in steps:
        if step.standing.state != FINISHED:
            epochs = len(step.logging.get("epoch_end_timestamps", ()))
            upto = (
                "there is no checkpoint yet"
                if step.checkpoint is None
                else f"curves end with its last checkpoint, {epochs} epochs"
            )
            texts.append(f"Step {step.number} is not finished ({step.standing.state}); {upto}.")
    if not texts:
        return None
    return tag("div", *map(paragraph, texts), paragraph("Make this page again later to see more."), class_="notice")


def _step1(step: Step, place: RunPlace, slices: int | None) -> Iterator[Section]:
    yield section("Step 1: training", step1_curves(step, slabs_chance(step)))
    found = step1_validation(step)
    yield section("Step 1: validation", found or paragraph("The validation has not been done yet."))
    yield section("Step 1: pictures", _slices(step, place, slices), step1_pictures(step.folder))


def _slices(step: Step, place: RunPlace, number: int | None) -> Html:
    """Volumes slice by slice, or why there are none."""
    wanted = number if number is not None else CASES * is_small(step.configuration)
    if wanted == 0 and number is None:
        return paragraph("No volumes slice by slice, as the patch is large: --slices 2 renders them, on the CPU.")
    if wanted == 0:
        return paragraph("No volumes slice by slice (--slices 0).")
    try:
        if step.checkpoint is None:
            raise UserError("There is no checkpoint yet.")
        return joined(subheading("Slice by slice"), shown_examples(make_examples(step.checkpoint, _target(place), wanted)))
    except UserError as error:
        if number is not None:
            raise UserError(f"--slices {number} is not possible: {error.reason} Leave it out.") from error
        return paragraph(f"No volumes slice by slice: {error.reason}")


def _target(place: RunPlace) -> Target:
    """The user's own plans and data for the run.

    Raises:
        UserError: they are not there, or the folder's name is no fold's.
    """
    try:
        fold = parse_fold(place.fold)
    except ArgumentTypeError as error:
        raise UserError(f"Its folder goes by another name than a fold's: {place.fold}.") from error
    return read_target(place.dataset, place.plans, place.configuration, fold)


def _step2(step: Step) -> Iterator[Section]:
    yield section("Step 2: training", step2_curves(step))
    yield section("Step 2: validation", dice_tables(step))


def _settings(steps: Sequence[Step]) -> Section:
    """Once, where both steps have the same; each step decides settings of its own."""
    first, *others = steps
    if all(other.configuration == first.configuration for other in others):
        return section("Settings", settings_of(first.configuration, [line for step in steps for line in _decided(step)]))
    parts = [joined(subheading(f"Step {step.number}"), settings_of(step.configuration, _decided(step))) for step in steps]
    return section("Settings", paragraph("The plan was changed between the steps."), *parts)


def _decided(step: Step) -> Sequence[str]:
    lines = step.state.get("decisions")
    return lines if isinstance(lines, list) else []


def _provenance(steps: Sequence[Step]) -> Section:
    folders = listed(joined(f"step {step.number}: ", tag("code", step.folder)) for step in steps)
    parts = [joined(subheading(f"Step {step.number}"), provenance_of(step)) for step in steps]
    return section("Provenance", folders, *parts)
