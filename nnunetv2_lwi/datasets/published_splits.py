"""The splits of the paper's data sets, and of MONAI's tutorials, by the numbers of their cases; what is reported of them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from nnunetv2_lwi.errors import UserError


@dataclass(frozen=True)
class PublishedSplit:
    """Which cases train and which validate.

    Attributes:
        source: citation.
        train: numbers of the training cases.
        val: numbers of the validation cases.
        organs: whose Dice is reported, in the order of the published tables; empty: all that have a label.
    """

    source: str
    train: tuple[int, ...]
    val: tuple[int, ...]
    organs: tuple[str, ...] = ()


SPLITS = {
    "synapse": PublishedSplit(
        "the 18/12 split of BTCV's 30 labelled cases, known as Synapse (Kunhimon et al., arXiv 2306.09320)",
        train=(5, 6, 7, 9, 10, 21, 23, 24, 26, 27, 28, 30, 31, 33, 34, 37, 39, 40),
        val=(1, 2, 3, 4, 8, 22, 25, 29, 32, 35, 36, 38),
        # Order and choice of UNETR++ (arXiv 2212.04497; its inference_synapse.py: labels 1, 2, 3, 4, 6, 7, 8 and 11); the
        # released UNETR test of arXiv 2306.09320 averages the same eight.
        organs=("spleen", "right kidney", "left kidney", "gallbladder", "liver", "stomach", "aorta", "pancreas"),
    ),
    "lung": PublishedSplit(
        "MSD Task06 (Kunhimon et al., arXiv 2306.09320)",
        train=(
            4, 5, 6, 9, 10, 14, 15, 16, 18, 20, 22, 23, 26, 28, 29, 31, 33, 34, 36, 37, 38, 41, 42, 43, 45, 47, 49, 51, 53,
            54, 55, 57, 59, 61, 64, 65, 66, 69, 71, 73, 74, 75, 78, 79, 80, 84, 86, 92, 95, 96,
        ),
        val=(1, 3, 25, 27, 44, 46, 48, 58, 62, 70, 81, 83, 93),
    ),
    "btcv": PublishedSplit(
        "the 24/6 split of BTCV in MONAI's tutorials (github.com/Project-MONAI/tutorials, "
        "3d_segmentation/unetr_btcv_segmentation_3d.ipynb and swin_unetr_btcv_segmentation_3d.ipynb, dataset_0.json)",
        train=(*range(1, 11), *range(21, 35)),
        val=tuple(range(35, 41)),
    ),
}  # fmt: skip


def number_of(identifier: str) -> int | None:
    """The number that an identifier ends in, or None if it ends in no digit."""
    digits = re.search(r"[0-9]+$", identifier)
    return None if digits is None else int(digits.group())


def match_cases(identifiers: Iterable[str], split: PublishedSplit) -> dict[str, list[str]]:
    """``train`` and ``val`` of a split in a data set's own identifiers, which end in the published numbers.

    Raises:
        UserError: a case is missing, or more than one identifier ends in its number.
    """
    named: dict[int, list[str]] = {}
    for identifier in sorted(identifiers):
        number = number_of(identifier)
        if number is not None:
            named.setdefault(number, []).append(identifier)
    wanted = (*split.train, *split.val)
    missing = [str(number) for number in wanted if number not in named]
    if missing:
        raise UserError(f"No case ends in {', '.join(missing)}, which the split has: {split.source}.")
    ambiguous = [", ".join(named[number]) for number in wanted if len(named[number]) > 1]
    if ambiguous:
        raise UserError(f"More than one case ends in the same number: {'; '.join(ambiguous)}.")
    return {part: [named[number][0] for number in getattr(split, part)] for part in ("train", "val")}
