"""Which labels of a data set are reported: all that are scored, some by name, or those that are published of a split."""

from __future__ import annotations

from collections.abc import Sequence

from nnunetv2_lwi.datasets.published_splits import SPLITS
from nnunetv2_lwi.errors import UserError

NEVER_SCORED = ("background", "ignore")


def selected_labels(labels: Sequence[str], chosen: str | None, split: str | None) -> list[str]:
    """The names to report, in the order to report them.

    Args:
        labels: of ``dataset.json``, regions too.
        chosen: names, separated by commas; None for all.
        split: a published split, whose organs are meant; None for all.

    Raises:
        UserError: the data set has no such label.
    """
    known = [name for name in labels if name not in NEVER_SCORED]
    if chosen is not None:
        wanted = [name.strip() for name in chosen.split(",") if name.strip()] or [chosen]
    else:
        wanted = list(SPLITS[split].organs if split else ()) or known
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise UserError(f"The data set has no label {', '.join(unknown)}: it has {', '.join(known)}.")
    return list(dict.fromkeys(wanted))
