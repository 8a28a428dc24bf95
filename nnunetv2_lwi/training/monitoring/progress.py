"""Step 1's local log: what nnU-Net's logger keeps for each epoch, and ``progress.png``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from nnunetv2.training.logging.nnunet_logger import LocalLogger

from nnunetv2_lwi.disk import write_picture

PHASES = {"train": "--", "val": "-"}
"""Training and validation, and how their curves are drawn."""


class PretextLogger(LocalLogger):  # type: ignore[misc]
    """Keeps losses and order accuracies of training and validation, one value an epoch.

    Args:
        names: what a step returns: ``loss``, and its parts as :class:`nnunetv2_lwi.method.loss.PretextLoss` names them.
        chance: order accuracy of guessing.
    """

    def __init__(self, names: Sequence[str], chance: float, verbose: bool = False) -> None:
        super().__init__(verbose)
        self.parts = [name for name in names if name != "loss"]
        self.chance = chance
        keys = ["lrs", "epoch_start_timestamps", "epoch_end_timestamps"]
        keys += [f"{phase}_{name}" for phase in PHASES for name in ("losses", *self.parts)]
        self.my_fantastic_logging: dict[str, list[Any]] = {key: [] for key in keys}

    @property
    def losses(self) -> list[str]:
        """Parts that are losses."""
        return [part for part in self.parts if part.endswith("_loss")]

    @property
    def accuracies(self) -> list[str]:
        """Parts that are order accuracies, one a level."""
        return [part for part in self.parts if "accuracy" in part]

    def describe_last_epoch(self) -> list[str]:
        """The epoch in words, for the training log."""
        lines = []
        for phase in PHASES:
            parts = ", ".join(f"{_readable(name)} {self._last(f'{phase}_{name}'):.4f}" for name in self.losses)
            lines.append(f"{phase}_loss {self._last(f'{phase}_losses'):.4f} ({parts})")
        if self.accuracies:
            levels = "; ".join(
                f"{name.rsplit('_', 2)[-2]} {name.rsplit('_', 1)[-1]} train {self._last(f'train_{name}'):.3f} "
                f"val {self._last(f'val_{name}'):.3f}"
                for name in self.accuracies
            )
            lines.append(f"order accuracy (chance {self.chance:.3f}): {levels}")
        seconds = self._last("epoch_end_timestamps") - self._last("epoch_start_timestamps")
        lines.append(f"Epoch time: {seconds:.2f} s")
        return lines

    def plot_progress_png(self, output_folder: str) -> None:
        """Write ``progress.png``: losses, order accuracy per level beside chance, epoch time and learning rate."""
        panels = self.losses + (["order accuracy"] if self.accuracies else []) + ["time", "rate"]
        figure = Figure(figsize=(12, 3.4 * len(panels)), layout="constrained")
        for axes, panel in zip(figure.subplots(len(panels), 1, squeeze=False)[:, 0], panels, strict=True):
            self._plot_panel(axes, panel)
            axes.set_xlabel("epoch")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.grid(alpha=0.3)
        write_picture(Path(output_folder) / "progress.png", figure, dpi=80)

    def _plot_panel(self, axes: Axes, panel: str) -> None:
        if panel == "order accuracy":
            self._plot_accuracies(axes)
        elif panel == "time":
            starts, ends = self._series("epoch_start_timestamps"), self._series("epoch_end_timestamps")
            axes.plot([end - start for start, end in zip(starts, ends, strict=False)], marker=".")
            axes.set(ylabel="epoch duration [s]", ylim=(0, None))
        elif panel == "rate":
            axes.plot(self._series("lrs"), marker=".")
            axes.set(ylabel="learning rate")
        else:
            for phase, line in PHASES.items():
                axes.plot(self._series(f"{phase}_{panel}"), line, marker=".", label=phase)
            axes.set(ylabel=_readable(panel) + " loss")
            axes.legend()

    def _plot_accuracies(self, axes: Axes) -> None:
        for colour, name in enumerate(self.accuracies):
            for phase, line in PHASES.items():
                label = f"level {name.rsplit('_', 1)[-1]} {phase}"
                axes.plot(self._series(f"{phase}_{name}"), line, marker=".", color=f"C{colour}", label=label)
        axes.axhline(self.chance, color="black", linestyle=":", label=f"chance {self.chance:.3f}")
        axes.set(ylabel="order accuracy", ylim=(0, 1.02))
        axes.legend(ncols=2, fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))

    def _series(self, key: str) -> list[Any]:
        """One value per finished epoch."""
        finished = len(self.my_fantastic_logging["epoch_end_timestamps"])
        values: list[Any] = self.my_fantastic_logging[key][:finished]
        return values

    def _last(self, key: str) -> float:
        return float(self.my_fantastic_logging[key][-1])


def _readable(name: str) -> str:
    return name.removesuffix("_loss")
