"""Step 2: nnU-Net's segmentation training, from the weights of step 1."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nnunetv2.training.loss.deep_supervision import DeepSupervisionWrapper
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager
from torch import Tensor, nn

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.handover.digest import changed_step2
from nnunetv2_lwi.handover.initialization import initialize
from nnunetv2_lwi.handover.plain import plain
from nnunetv2_lwi.handover.record import with_scans
from nnunetv2_lwi.handover.step1 import Step1, Verdict, find_step1, judge, read_step1
from nnunetv2_lwi.handover.transfer import hand_over, overwrite, plan_transfer
from nnunetv2_lwi.networks.build import build_network, output_scales, supports_deep_supervision
from nnunetv2_lwi.networks.dry_run import run_on_shapes
from nnunetv2_lwi.nnunet.command_line import begins_anew, given_weights
from nnunetv2_lwi.nnunet.inheritance import resolve
from nnunetv2_lwi.planning.configuration import label_manager
from nnunetv2_lwi.planning.recipes import way_back
from nnunetv2_lwi.planning.settings import LWISettings, leaves_open
from nnunetv2_lwi.training.base import LWITrainer
from nnunetv2_lwi.training.machine.distributed import sum_over_ranks, take_from_first_rank
from nnunetv2_lwi.training.machine.overflow import with_finite_losses
from nnunetv2_lwi.training.monitoring.outputs import (
    EPOCHS_WATCHED,
    count_hits,
    describe_outputs,
    mean_dice,
    outputs_of,
)
from nnunetv2_lwi.training.step2_needs import finished_step1, step1_command


class nnUNetTrainerLWISeg(LWITrainer):
    """Never starts from random weights by accident: see :meth:`on_train_start`."""

    step = "seg"
    reads_labels = True

    def configure(self) -> None:
        """Deep supervision where the network has it."""
        self.enable_deep_supervision = supports_deep_supervision(self.configuration_manager)

    def require_start(self, settings: LWISettings, device: torch.device) -> None:
        """A step 1 that is to be handed over is looked for at once where nnU-Net's command starts a training anew.

        Raises:
            UserError: there is no finished one.
        """
        if begins_anew() and given_weights() is None and settings.seg.start == "step1":
            finished_step1(self.target, device)

    def try_network(self, configuration: ConfigurationManager, channels: int) -> nn.Module:
        """The network with its outputs."""
        outputs = label_manager(self.target.plans, self.target.dataset_json).num_segmentation_heads
        network = build_network(configuration, channels, outputs)
        run_on_shapes(network, channels, configuration.patch_size)
        return network

    def on_train_start(self) -> None:
        """Decide what the training starts from, then start it.

        A resumed run goes on; weights that changed since :meth:`initialize` came from ``-pretrained_weights`` and are
        kept, as far as the plan hands them over; with ``lwi.seg.start: random`` the random weights stay; else step 1 is
        found and handed over.

        Raises:
            UserError: no finished step 1, or one that does not fit; nothing is left behind.
        """
        if not self.was_initialized:
            self.initialize()
        if self.resumed_from is not None:
            self.print_to_log_file(f"Resumed from {self.resumed_from}; it started from: {self.start['kind']}.")
        else:
            try:
                self._start()
            except UserError:
                self.discard_output()
                raise
        super().on_train_start()

    def _start(self) -> None:
        if self.weights_were_loaded():
            self._keep_loaded_weights()
        elif self.lwi.seg.start == "random":
            initialize(self.unwrapped_network, self.lwi.seg.initialization)
            take_from_first_rank(self.unwrapped_network)
            self.start = {"kind": "random", "initialization": self.lwi.seg.initialization}
            self.print_to_log_file(f"Start: random, as the plan says (initialization: {self.lwi.seg.initialization}).")
        else:
            self._start_from_step1()

    def _keep_loaded_weights(self) -> None:
        """nnU-Net checked names and shapes and nothing else; what a step 1 says of itself is told, not insisted on.

        Of a step 1 also what it kept back goes over, where this plan hands it over. Weights of any other origin, whose
        decoder may be worth as much as their encoder, are kept whole unless the plan itself says what is handed over.
        """
        path = given_weights()
        self.start = {"kind": "pretrained_weights", "path": None if path is None else str(path.absolute())}
        step1 = None if path is None else find_step1(path)
        whole = step1 is None and leaves_open(self.configuration_manager.configuration, "seg.hand_over")
        if not whole:
            overwrite(self.unwrapped_network, self.kept_back_as_drawn(self._build_again))
        take_from_first_rank(self.unwrapped_network)
        if step1 is not None:
            hand_over(step1, self.unwrapped_network, self.keys_handed_over())
        wanted = self.unwrapped_network.state_dict() if whole else self.keys_handed_over()
        untrained = () if step1 is None else step1.untrained
        transfer = replace(plan_transfer(self.unwrapped_network, wanted, untrained), source="them")
        self.print_to_log_file(f"Start: the weights that were loaded into the network (-pretrained_weights). {transfer}")
        if step1 is None:
            return
        self.start["provenance"] = step1.provenance
        self.print_to_log_file(f"They are those of step 1 of {step1.origin}.")
        verdict = self._judge(step1)
        for difference in verdict.refusals:
            self.print_to_log_file(f"WARNING: step 1 had other settings than this plan: {difference}.")
        for warning in verdict.warnings:
            self.print_to_log_file(f"WARNING: {warning}.")

    def _build_again(self) -> nn.Module:
        """The network as nnU-Net's ``initialize`` builds it."""
        network: nn.Module = self.build_network_architecture(
            self.plans_manager,
            self.configuration_manager,
            self.num_input_channels,
            self.label_manager.num_segmentation_heads,
            self.enable_deep_supervision,
        )
        return network

    def _judge(self, step1: Step1) -> Verdict:
        configuration = self.configuration_manager.configuration
        return judge(step1, self.digest, with_scans(self.record(), self.plans_manager.plans, configuration, self.lwi.init))

    def _start_from_step1(self) -> None:
        step1 = read_step1(finished_step1(self.target, self.device))
        verdict = self._judge(step1)
        if verdict.refusals:
            raise UserError(
                f"{step1.path} is stale, the plan changed since: {'; '.join(verdict.refusals)}. Undo the change"
                f"{way_back(verdict.refusals)}, or move "
                f"{step1.path.parent} away and run {step1_command(self.target, self.device)}."
            )
        transfer = hand_over(step1, self.unwrapped_network, self.keys_handed_over())
        self.start = {"kind": "step1", "path": str(step1.path), "provenance": step1.provenance}
        self.print_to_log_file(f"Start: step 1 of {step1.origin} ({step1.path}). {transfer}")
        for warning in verdict.warnings:
            self.print_to_log_file(f"WARNING: {warning}.")

    def standing(self) -> dict[str, Any]:
        """With the settings of this step."""
        return super().standing() | {"step2": self.lwi.step2()}

    def lwi_state(self) -> dict[str, Any]:
        """What is ours in a checkpoint, with the settings of this step."""
        return super().lwi_state() | {"step2": self.lwi.step2()}

    def changes_since(self, state: dict[str, Any]) -> list[str]:
        """Also in the settings of this step."""
        return changed_step2(state, self.digest, self.lwi)

    def set_deep_supervision_enabled(self, enabled: bool) -> None:
        """nnU-Net's, for a network that has outputs at lower resolutions."""
        super().set_deep_supervision_enabled(enabled and self.enable_deep_supervision)

    def _get_deep_supervision_scales(self) -> list[list[float]] | None:
        """The network's own scales where it names them, else nnU-Net's from the strides."""
        return output_scales(self.unwrapped_network, self.configuration_manager) if self.enable_deep_supervision else None

    def _build_loss(self) -> nn.Module:
        """nnU-Net's loss, with the network's own weights for its outputs where it names them.

        nnU-Net gives the lowest output no weight and divides by the sum: with a single output that is 0/0; here it is 1.
        """
        with np.errstate(invalid="ignore"):
            loss: nn.Module = super()._build_loss()
        if isinstance(loss, DeepSupervisionWrapper):
            own = getattr(self.unwrapped_network, "deep_supervision_weights", None)
            if own is not None:
                loss.weight_factors = tuple(own)
            elif len(loss.weight_factors) == 1:
                loss.weight_factors = (1.0,)
        return loss

    def losses_of(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Of a loader's batch: nnU-Net's loss alone."""
        data = self.on_device(batch["data"])
        targets = batch["target"]
        targets = [self.on_device(target) for target in targets] if isinstance(targets, list) else self.on_device(targets)
        with self.autocast():
            return {"loss": self.loss(self.network(data), targets)}

    def validation_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """nnU-Net's, on finite voxels; in the first epochs every output is counted."""
        self.voxel_checks.require()
        figures: dict[str, Any]
        if not self.enable_deep_supervision or self.current_epoch >= EPOCHS_WATCHED:
            figures = super().validation_step(batch)
            return figures
        with outputs_of(self.network) as outputs:
            figures = super().validation_step(batch)
        full = np.stack([figures[f"{kind}_hard"] for kind in ("tp", "fp", "fn")])
        coarse = zip(outputs[1:], batch["target"][1:], strict=True)
        counts = [count_hits(logits, target.to(self.device), self.label_manager) for logits, target in coarse]
        figures["hits_by_output"] = np.stack([full, *counts])
        return figures

    def on_validation_epoch_end(self, val_outputs: list[dict[str, Any]]) -> None:
        """nnU-Net's; in the first epochs with the Dice of every output."""
        by_output = [figures.pop("hits_by_output") for figures in val_outputs if "hits_by_output" in figures]
        if self.grad_scaler is not None:
            val_outputs, overflowed = with_finite_losses(val_outputs)
            self.tell_of_overflows(overflowed, "validation")
        super().on_validation_epoch_end(val_outputs)
        if by_output:
            for line in describe_outputs([mean_dice(counts) for counts in sum_over_ranks(np.sum(by_output, axis=0))]):
                self.print_to_log_file(line)

    def perform_actual_validation(self, save_probabilities: bool = False) -> None:
        """nnU-Net's, without predictions for next stages of a cascade whose data are not there: it would wait for ever."""
        manager = self.configuration_manager
        there, missing = self._next_stages()
        for name in missing:
            self.print_to_log_file(
                f"WARNING: no predictions for the next stage {name}, whose data are not preprocessed: run "
                f"nnUNetv2_preprocess -d {self.plans_manager.dataset_name} -c {name}, then this command with --val."
            )
        self.configuration_manager = ConfigurationManager({**manager.configuration, "next_stage": there or None})
        try:
            with self.writing():
                super().perform_actual_validation(save_probabilities)
        finally:
            self.configuration_manager = manager

    def _next_stages(self) -> tuple[list[str], list[str]]:
        """Names of those whose data are preprocessed, and of those whose are not."""
        names = self.configuration_manager.next_stage_names or []
        there = [name for name in names if self._is_preprocessed(name)]
        return there, [name for name in names if name not in there]

    def _is_preprocessed(self, configuration: str) -> bool:
        identifier = resolve(self.plans_manager.plans, configuration).get("data_identifier")
        folder = Path(self.preprocessed_dataset_folder_base) / str(identifier)
        return identifier is not None and folder.is_dir() and any(folder.iterdir())

    def on_epoch_end(self) -> None:
        """nnU-Net's, with ``checkpoint_latest`` after ``checkpoint_best`` and when it is due, not every ``save_every``.

        The log is made plain at once, as a checkpoint holds it: nnU-Net's moving average of the Dice would else be taken
        of float32 here and of float in a resumed run, and differ in the last digits.
        """
        self.require_finite_losses()
        self.logger.load_checkpoint(plain(self.logger.get_checkpoint()))
        self.save_every = self.num_epochs + 1
        super().on_epoch_end()
        self.save_latest_if_due()
