"""Step 1: learn the starting weights from the images of the data set, without labels."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from time import time
from typing import Any, ClassVar

from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.helpers import empty_cache
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager
from torch import Tensor, nn
from torch import distributed as dist

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.handover.checkpoint import LWI_KEY
from nnunetv2_lwi.handover.growth import go_on_from
from nnunetv2_lwi.handover.provenance import make_provenance
from nnunetv2_lwi.handover.record import UNLABELLED
from nnunetv2_lwi.handover.transfer import misfits
from nnunetv2_lwi.method.loss import PretextLoss
from nnunetv2_lwi.method.pretext_network import PretextNetwork, build_pretext_network
from nnunetv2_lwi.method.transformation import Transformation, TransformedBatch
from nnunetv2_lwi.names import STEP2_TRAINER
from nnunetv2_lwi.nnunet.command_line import given_weights
from nnunetv2_lwi.training.base import LWITrainer
from nnunetv2_lwi.training.loading.augmentation import OwnDraws
from nnunetv2_lwi.training.loading.label_free import no_labels, of_images_alone, without_labels
from nnunetv2_lwi.training.machine.randomness import make_generator, seed_for_going_on
from nnunetv2_lwi.training.monitoring.description import describe_step1
from nnunetv2_lwi.training.monitoring.progress import PretextLogger
from nnunetv2_lwi.training.monitoring.readouts import PROBES_IN_A_TRAINING, TrainingProbe
from nnunetv2_lwi.training.monitoring.trackers import hand_on_picture
from nnunetv2_lwi.training.monitoring.validation import PretextEvaluator, validate_cases, write_progress_picture
from nnunetv2_lwi.unlabelled.alone import is_alone, on_scans_alone

PICTURES_IN_A_TRAINING = 20


class nnUNetTrainerLWIInit(LWITrainer):
    """Trains nnU-Net's network of the plan to fill in what was masked and, where it says so, to put shuffled slabs in order.

    Its checkpoint starts step 2: nnUNetTrainerLWISeg finds it, ``-pretrained_weights`` takes it for any trainer.
    """

    step = "init"
    reads_labels = False
    blocks: ClassVar = LWITrainer.blocks | {"order_heads": (), "random_state": ("transformation",)}

    def configure(self) -> None:
        """No labels, no oversampling of foreground; the network's outputs are image channels."""
        self.build_network_architecture = self._build_pretext_network  # type: ignore[method-assign,assignment]
        self.label_manager = no_labels()
        self.oversample_foreground_percent = 0.0
        self.enable_deep_supervision = False
        if not self.needs_segmentations:
            self.get_training_transforms = of_images_alone(self.get_training_transforms)  # type: ignore[method-assign]
            self.get_validation_transforms = of_images_alone(self.get_validation_transforms)  # type: ignore[method-assign]
        self.best_val_loss: float | None = None
        self.readouts: TrainingProbe | None = None

    @staticmethod
    def with_its_data(plans: dict[str, Any], configuration: str) -> dict[str, Any]:
        """Scans without labels take the place of labelled cases where there are none."""
        return on_scans_alone(plans, configuration)

    @property
    def needs_segmentations(self) -> bool:
        """Where an image was normalised within a mask, which they hold."""
        return any(self.configuration_manager.use_mask_for_norm)

    @staticmethod
    def build_network_architecture(
        plans_manager: PlansManager,
        configuration_manager: ConfigurationManager,
        num_input_channels: int,
        num_output_channels: int,
        enable_deep_supervision: bool = True,
    ) -> nn.Module:
        """What nnU-Net's predictor calls; while training, an instance builds its own.

        Raises:
            UserError: always; step 1 does not segment.
        """
        raise UserError(
            "nnUNetTrainerLWIInit learns starting weights and cannot predict: train step 2 from them "
            f"(-tr {STEP2_TRAINER}) and predict with that."
        )

    def try_network(self, configuration: ConfigurationManager, channels: int) -> PretextNetwork:
        """Step 1's network, so that a B or a level that is not possible is told too."""
        return build_pretext_network(configuration, channels, self.lwi)

    def initialize(self) -> None:
        """Build network, transformation and logger, and say what is trained."""
        super().initialize()
        pretext = self.pretext_network
        depth, height, width = self.configuration_manager.patch_size
        masking = self.lwi.masking if self.lwi.reconstructs else None
        self.transformation = Transformation((depth, height, width), pretext.slabs, masking)
        self.generator = make_generator(self.seed)
        encoder: nn.Module = pretext.network.encoder  # type: ignore[assignment]
        self.evaluate = PretextEvaluator(pretext, encoder, self.transformation, self.loss, self.device, self.autocast)
        self.logger.local_logger = PretextLogger(self.loss.names, pretext.chance)
        for line in describe_step1(self.lwi, pretext, self.transformation):
            self.print_to_log_file(line)

    def on_train_start(self) -> None:
        """Say what the training starts from, then start it."""
        if not self.was_initialized:
            self.initialize()
        if self.resumed_from is not None:
            self.print_to_log_file(f"Resumed from {self.resumed_from}; it started from: {self.start['kind']}.")
        else:
            self.start = {"kind": "pretrained_weights" if self.weights_were_loaded() else "random"}
            if (path := given_weights()) is not None:
                go_on_from(path, self.network_of_plan, self.pretext_network.order_heads)
            self.print_to_log_file(f"Start: {self.start['kind']}.")
        super().on_train_start()
        self._begin_probes()

    def _build_pretext_network(
        self,
        plans_manager: PlansManager,
        configuration_manager: ConfigurationManager,
        num_input_channels: int,
        num_output_channels: int,
        enable_deep_supervision: bool = True,
    ) -> PretextNetwork:
        return build_pretext_network(configuration_manager, num_input_channels, self.lwi)

    @property
    def network_of_plan(self) -> nn.Module:
        """Without the order heads."""
        return self.pretext_network.network

    @property
    def pretext_network(self) -> PretextNetwork:
        """The network without wrappers."""
        network = self.unwrapped_network
        assert isinstance(network, PretextNetwork)
        return network

    def _build_loss(self) -> PretextLoss:
        return PretextLoss.of(self.lwi, [level.index for level in self.pretext_network.order_heads.levels])

    def set_deep_supervision_enabled(self, enabled: bool) -> None:
        """Nothing to do: the plan says at which outputs step 1 reconstructs."""

    def configure_rotation_dummyDA_mirroring_and_inital_patch_size(self) -> tuple[Any, bool, Any, tuple[int, ...]]:
        """nnU-Net's, but depth is not mirrored while the order is predicted: it would reverse the order unseen."""
        rotation, dummy_2d, initial_patch_size, mirror_axes = (
            super().configure_rotation_dummyDA_mirroring_and_inital_patch_size()
        )
        if self.lwi.predicts_order:
            mirror_axes = tuple(axis for axis in mirror_axes if axis != 0)
            self.inference_allowed_mirroring_axes = mirror_axes
        return rotation, dummy_2d, initial_patch_size, mirror_axes

    @staticmethod
    def get_training_transforms(*args: Any, **kwargs: Any) -> ComposeTransforms:
        """nnU-Net's, on a segmentation without labels, drawn differently in every worker of the loader."""
        transforms = without_labels(nnUNetTrainer.get_training_transforms(*args, **kwargs))
        return ComposeTransforms([OwnDraws(), *transforms.transforms])

    @staticmethod
    def get_validation_transforms(*args: Any, **kwargs: Any) -> ComposeTransforms:
        """nnU-Net's, on a segmentation without labels."""
        return without_labels(nnUNetTrainer.get_validation_transforms(*args, **kwargs))

    def transform(self, batch: dict[str, Any]) -> TransformedBatch:
        """Move a loader's batch to the device, shuffle it and mask it; the batch is used up."""
        volume = self.on_device(batch["data"])
        return self.transformation(volume, self.generator, overwrite=True)

    def losses_of(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Of a loader's batch, which is used up."""
        transformed = self.transform(batch)
        with self.autocast():
            losses: dict[str, Tensor] = self.loss(self.network(transformed.masked), transformed)
        return losses

    def validation_step(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """The loss and its parts on a validation batch, by the compiled network if there is one.

        Cases and pictures come in batches of other sizes, for each of which it would be compiled again.

        Raises:
            UserError: a case has NaN or infinite voxels.
        """
        self.voxel_checks.require()
        network = self.network.module if self.is_ddp else self.network
        return replace(self.evaluate, network=network)(self.transform(batch))[1]

    def on_validation_epoch_end(self, val_outputs: list[dict[str, Tensor]]) -> None:
        """Log the epoch's means."""
        for name, value in self.means_of(val_outputs, "validation").items():
            self.logger.log("val_losses" if name == "loss" else f"val_{name}", value, self.current_epoch)

    def on_epoch_end(self) -> None:
        """Log, and write what is due: checkpoints, ``progress.png``, a picture."""
        self.logger.log("epoch_end_timestamps", time(), self.current_epoch)
        self.require_finite_losses()
        for line in self.logger.local_logger.describe_last_epoch():
            self.print_to_log_file(line)
        val_loss = self.logger.get_value("val_losses", step=-1)
        if self.best_val_loss is None or val_loss < self.best_val_loss:
            self.best_val_loss = val_loss
            self.print_to_log_file(f"New best validation loss: {val_loss:.4f}")
            self.save_checkpoint(str(Path(self.output_folder) / "checkpoint_best.pth"))
        if self.local_rank == 0:
            self.logger.plot_progress_png(self.output_folder)
            if self.current_epoch % max(1, self.num_epochs // PICTURES_IN_A_TRAINING) == 0:
                self._write_picture()
        self.current_epoch += 1
        if self.current_epoch % max(1, self.num_epochs // PROBES_IN_A_TRAINING) == 0:
            self._log_probe(f"after epoch {self.current_epoch - 1}")
        self.save_latest_if_due()

    def _begin_probes(self) -> None:
        """A line of what can be read out of the features before the training, where a few cases have labels."""
        if is_alone(self.configuration_manager.configuration):
            return
        folder, cases = self.preprocessed_dataset_folder, (self.train_cases, self.val_cases)
        with suppress(UserError):
            self.readouts = TrainingProbe(
                self.plans_manager, self.dataset_json, self.configuration_manager, self.dataset_class, folder, cases
            )
        if self.resumed_from is None:
            self._log_probe("before the training")

    def _log_probe(self, when: str) -> None:
        """Whatever goes wrong with it, labels of any kind being read, the training goes on."""
        if self.readouts is None or self.local_rank > 0:
            return
        try:
            areas = self.readouts.line(self.network_of_plan, self.device, self.autocast)
        except Exception as error:
            self.print_to_log_file(f"No linear readouts: {type(error).__name__}: {error}")
            areas = None
        if areas is None:
            self.readouts = None
            return
        self.print_to_log_file(f"AUC of linear readouts {when} (labels are read for this line alone): {areas}.")

    def _write_picture(self) -> None:
        path = Path(self.output_folder) / "pictures" / f"epoch_{self.current_epoch:04d}.png"
        dataset = self.dataset_class(self.preprocessed_dataset_folder, sorted(self.val_cases)[:1])
        write_progress_picture(self.evaluate, dataset, path, self.configuration_manager.spacing)
        if problem := hand_on_picture(self.logger, "patch", path, self.current_epoch):
            self.print_to_log_file(f"The picture of this epoch is in {path.parent} alone: {problem}")

    def perform_actual_validation(self, save_probabilities: bool = False) -> None:
        """Write ``validation/summary.json`` and pictures of a few cases, in place of segmentations."""
        if save_probabilities:
            self.print_to_log_file("--npz has no effect in step 1, which predicts no segmentation.")
        self.network.eval()
        _, val_cases = self.do_split()
        folder = Path(self.output_folder) / "validation"
        with self.writing():
            summary = validate_cases(
                self.evaluate,
                lambda case: self.dataset_class(self.preprocessed_dataset_folder, [case]),
                sorted(val_cases),
                folder,
                spacing=self.configuration_manager.spacing,
                batch_size=self.batch_size,
                chance=self.pretext_network.chance,
            )
        if self.is_ddp:
            dist.barrier()
        for name, value in summary["mean"].items():
            self.logger.log_summary(f"final_val/{name}", value)
            self.print_to_log_file(f"Validation {name}: {value:.4f}")
        if self.lwi.predicts_order:
            self.print_to_log_file(f"Chance order accuracy: {self.pretext_network.chance:.4f}")
        ranks = [f"{level['effective_rank']:.1f} of {level['channels']}" for level in summary["features"]]
        self.print_to_log_file(f"Effective rank of the encoder's features, levels 0 to {len(ranks) - 1}: {', '.join(ranks)}")
        self.print_to_log_file(f"Validation complete: see {folder}")
        empty_cache(self.device)

    def checkpoint(self, finished: bool) -> dict[str, Any]:
        """Of a finished step 1 what shall start step 2: the stock ``-pretrained_weights`` hands over all of it.

        Parts that the plan does not hand over are there as they were drawn; what was trained of them stands under ``lwi``.
        """
        content = super().checkpoint(finished)
        if finished:
            configuration, channels = self.configuration_manager, self.num_input_channels
            drawn = self.kept_back_as_drawn(lambda: build_pretext_network(configuration, channels, self.lwi).network)
            weights = content["network_weights"]
            content[LWI_KEY]["kept_back"] = {key: weights[key] for key in drawn}
            weights.update(drawn)
        return content

    def lwi_state(self) -> dict[str, Any]:
        """Order heads, provenance, and what step 2 must know."""
        pretext = self.pretext_network
        return super().lwi_state() | {
            "order_heads": pretext.order_heads.state_dict(),
            "untrained": pretext.untrained_keys(),
            "best_val_loss": self.best_val_loss,
            "provenance": make_provenance(
                self.plans_manager.dataset_name,
                self.plans_manager.plans_name,
                self.configuration_name,
                self.fold,
                self.train_cases,
                self.record()[UNLABELLED],
            ),
        }

    def random_state(self) -> dict[str, Any]:
        """With the generator of the transformation."""
        return super().random_state() | {"transformation": self.generator.get_state()}

    def set_random_state(self, state: dict[str, Any]) -> None:
        """With the generator of the transformation."""
        super().set_random_state(state)
        if state["transformation"].shape == self.generator.get_state().shape:
            self.generator.set_state(state["transformation"])

    def restore_random_state(self, state: dict[str, Any]) -> None:
        """With the generator of the transformation, whose state was another's in an earlier version: a GPU's."""
        super().restore_random_state(state)
        is_own = self.local_rank == 0 and state["transformation"].shape == self.generator.get_state().shape
        if not is_own and self.seed is not None:
            self.generator = make_generator(seed_for_going_on(self.seed, self.current_epoch))

    def misfits(self, checkpoint: dict[str, Any]) -> list[str]:
        """With the order heads, which depend on B and the levels that carry one."""
        theirs, ours = checkpoint[LWI_KEY]["order_heads"], self.pretext_network.order_heads
        problems = [f"order_heads.{problem}" for problem in misfits(theirs, ours)] + super().misfits(checkpoint)
        changes = self.changes_since(checkpoint[LWI_KEY])
        return [change for change in changes if change.startswith("lwi.order_heads")] or problems

    def _restore(self, checkpoint: dict[str, Any]) -> None:
        trained = {**checkpoint["network_weights"], **checkpoint[LWI_KEY].get("kept_back", {})}
        super()._restore({**checkpoint, "network_weights": trained})
        self.pretext_network.order_heads.load_state_dict(checkpoint[LWI_KEY]["order_heads"])
        self.best_val_loss = checkpoint[LWI_KEY]["best_val_loss"]
