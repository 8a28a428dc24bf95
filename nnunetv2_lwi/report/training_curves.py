"""How each step trained: curves over the epochs up to the newest checkpoint, and the same as numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from nnunetv2_lwi.report.curves import Line, chance_entry, legend, numbers, plot_lines
from nnunetv2_lwi.report.labels import class_names
from nnunetv2_lwi.report.markup import Html, figure, folded, joined, paragraph, table, tag
from nnunetv2_lwi.report.run import Step

ACCURACY = re.compile(r"train_order_accuracy_level_(\d+)")
READOUTS = re.compile(r"AUC of linear readouts (before the training|after epoch \d+) .*?: (.*)\.")
STAGE = re.compile(r"(.+) ([\d.]+|nan)")
NOTHING = "There is no checkpoint yet, which holds the losses of every epoch: make this page again when there is one."


def step1_curves(step: Step, chance: float | None) -> Html:
    """Losses, and the order accuracy of every level beside chance."""
    if not step.logging:
        return paragraph(NOTHING)
    figures = [_losses(step.logging, "loss", "losses")]
    for part in ("reconstruction", "order"):
        if numbers(step.logging.get(f"train_{part}_loss")):
            figures.append(_losses(step.logging, f"{part} loss", f"{part}_loss"))
    figures += _accuracies(step.logging, chance)
    return joined(tag("div", *figures, class_="plots"), _epochs(step.logging), _readouts(step))


def step2_curves(step: Step) -> Html:
    """Losses, and nnU-Net's pseudo Dice with its moving average and of every class."""
    if not step.logging:
        return paragraph(NOTHING)
    figures = [_losses(step.logging, "loss", "losses"), _pseudo_dice(step.logging), _by_class(step)]
    return joined(tag("div", *figures, class_="plots"), _epochs(step.logging, _classes(step)))


def slabs_chance(step: Step) -> float | None:
    """Order accuracy of guessing, by the summary or, before there is one, by the log; None without order prediction."""
    chance = step.summary.get("chance_order_accuracy")
    if isinstance(chance, (int, float)):
        return float(chance)
    found = (re.search(r"chance (0\.\d+)", text) for _, text in step.log)
    return next((float(match[1]) for match in found if match), None)


def _losses(logging: Mapping[str, object], title: str, key: str) -> Html:
    lines = [
        Line(phase, numbers(logging.get(f"{phase}_{key}")), n, phase == "train") for n, phase in enumerate(("train", "val"))
    ]
    return _drawn(lines, title, f"{title} by epoch")


def _accuracies(logging: Mapping[str, object], chance: float | None) -> Iterator[Html]:
    levels = sorted(int(match[1]) for key in logging if (match := ACCURACY.fullmatch(str(key))))
    if not levels:
        return
    lines = [
        Line(
            f"level {level} {phase}", numbers(logging.get(f"{phase}_order_accuracy_level_{level}")), colour, phase == "train"
        )
        for colour, level in enumerate(levels)
        for phase in ("train", "val")
    ]
    yield _drawn(lines, "order accuracy", "order accuracy by level: share of slabs named right", chance, 1.02)


def _pseudo_dice(logging: Mapping[str, object]) -> Html:
    lines = [
        Line("pseudo Dice", numbers(logging.get("mean_fg_dice")), 0, True),
        Line("moving average (EMA)", numbers(logging.get("ema_fg_dice")), 1),
    ]
    return _drawn(lines, "Dice", "pseudo Dice on random validation patches, mean over classes", top=1.02)


def _by_class(step: Step) -> Html | None:
    lines = [Line(name, curve, colour) for colour, (name, curve) in enumerate(_classes(step).items())]
    return _drawn(lines, "Dice", "pseudo Dice of each class", top=1.02) if lines else None


def _classes(step: Step) -> dict[str, Sequence[float]]:
    """Pseudo Dice by epoch, of each class."""
    by_epoch = step.logging.get("dice_per_class_or_region")
    if not isinstance(by_epoch, (list, tuple)):
        return {}
    curves = list(zip(*map(numbers, by_epoch), strict=False))
    return dict(zip(class_names(step.dataset_json, len(curves)), curves, strict=True))


def _drawn(lines: Sequence[Line], ylabel: str, caption: str, level: float | None = None, top: float | None = None) -> Html:
    alt = f"{caption}; last: {', '.join(f'{line.name} {_last(line.values)}' for line in lines)}"
    names = joined(
        legend([(line.name, line.colour, line.dashed) for line in lines]), None if level is None else chance_entry(level)
    )
    return figure(plot_lines(lines, ylabel, alt, level, top), f"{caption[0].upper()}{caption[1:]}.", names)


def _last(values: Sequence[float]) -> str:
    return f"{values[-1]:.3f}" if len(values) else "none"


def _epochs(logging: Mapping[str, object], classes: Mapping[str, Sequence[float]] | None = None) -> Html:
    """Every value of every epoch, for who cannot or does not want to read curves."""
    columns = {str(key): numbers(values) for key, values in logging.items() if not str(key).endswith("timestamps")}
    columns = {key: values for key, values in columns.items() if values and not np.isnan(values).all()}
    columns |= {f"pseudo Dice of {name}": list(values) for name, values in (classes or {}).items()}
    starts, ends = (numbers(logging.get(f"epoch_{what}_timestamps")) for what in ("start", "end"))
    columns["seconds"] = [end - start for start, end in zip(starts, ends, strict=False)]
    length = max(map(len, columns.values()), default=0)
    rows = [["epoch", *columns]]
    rows += [
        [str(n), *(f"{values[n]:.5g}" if n < len(values) else "" for values in columns.values())] for n in range(length)
    ]
    return folded(f"All values of {length} epochs", table("Values by epoch", rows))


def _readouts(step: Step) -> Html | None:
    """What a segmentation could read off the features, as the log tells now and then."""
    rows: list[list[str]] = []
    stages: list[str] = []
    for _, text in step.log:
        match = READOUTS.match(text)
        parsed = [STAGE.fullmatch(part) for part in match[2].split(", ")] if match else []
        if match and parsed and all(parsed):
            stages = [part[1] for part in parsed if part]
            rows.append([match[1], *(part[2] for part in parsed if part)])
    if not rows:
        return None
    same = [row for row in rows if len(row) == 1 + len(stages)]
    return table("AUC of linear readouts by stage (0.5: chance), as the log has it", [["when", *stages], *same])
