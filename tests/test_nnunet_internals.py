"""What this package relies on in nnU-Net and beside it, one test a fact: where a new release fails here, the docstring says
what breaks.

That the whole works with nnU-Net is tested elsewhere; these tests say why, when it no longer does.
"""

from __future__ import annotations

import inspect
import pickle
import sys
from copy import deepcopy
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from acvl_utils.cropping_and_padding.bounding_boxes import crop_and_pad_nd
from batchgenerators.dataloading import nondet_multi_threaded_augmenter
from batchgenerators.dataloading.nondet_multi_threaded_augmenter import NonDetMultiThreadedAugmenter
from batchgenerators.dataloading.single_threaded_augmenter import SingleThreadedAugmenter
from batchgeneratorsv2.transforms.base.basic_transform import SegOnlyTransform
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.paths import nnUNet_preprocessed, nnUNet_results
from nnunetv2.run import run_training
from nnunetv2.run.load_pretrained_weights import load_pretrained_weights
from nnunetv2.training.dataloading.data_loader import nnUNetDataLoader
from nnunetv2.training.logging.nnunet_logger import LocalLogger, MetaLogger
from nnunetv2.training.loss.deep_supervision import DeepSupervisionWrapper
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.find_class_by_name import recursive_find_python_class
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from nnunetv2.utilities.label_handling.label_handling import LabelManager
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager

from nnunetv2_lwi.training.base import LWITrainer
from nnunetv2_lwi.training.interruptible import InterruptibleTrainer
from nnunetv2_lwi.training.loaded import LoadingTrainer
from nnunetv2_lwi.training.nnUNetTrainerLWIInit import nnUNetTrainerLWIInit
from nnunetv2_lwi.training.nnUNetTrainerLWISeg import nnUNetTrainerLWISeg
from nnunetv2_lwi.training.resumable import ResumableTrainer
from tests.networks_for_tests import build_unet
from tests.tiny_dataset import NAME, STRIDES

OVERRIDDEN = {
    "__init__": ["plans", "configuration", "fold", "dataset_json", "device"],
    "initialize": [],
    "build_network_architecture": [
        "plans_manager", "configuration_manager", "num_input_channels", "num_output_channels", "enable_deep_supervision",
    ],
    "configure_optimizers": [],
    "configure_rotation_dummyDA_mirroring_and_inital_patch_size": [],
    "do_split": [],
    "get_tr_and_val_datasets": [],
    "get_dataloaders": [],
    "get_training_transforms": None,
    "get_validation_transforms": None,
    "load_checkpoint": None,
    "on_epoch_end": [],
    "on_train_epoch_end": ["train_outputs"],
    "on_train_end": [],
    "on_train_epoch_start": [],
    "on_train_start": [],
    "on_validation_epoch_end": ["val_outputs"],
    "perform_actual_validation": ["save_probabilities"],
    "run_training": [],
    "save_checkpoint": ["filename"],
    "set_deep_supervision_enabled": ["enabled"],
    "train_step": ["batch"],
    "validation_step": ["batch"],
    "_build_loss": [],
    "_get_deep_supervision_scales": [],
}  # fmt: skip
"""Methods of nnU-Net's trainer that ours replace, with their parameters (None: passed on, or by position)."""


@pytest.fixture
def trainer(dataset):
    """nnU-Net's own, on the tiny data set."""
    return dataset.trainer(nnUNetTrainer)


def parameters(function) -> list[str]:
    return [name for name in inspect.signature(function).parameters if name != "self"]


@pytest.mark.parametrize("name", OVERRIDDEN)
def test_a_method_that_is_overridden_is_there_with_its_parameters(name):
    """A method under another name is never called, and nnU-Net does what ours was to replace, in silence."""
    assert OVERRIDDEN[name] is None or parameters(getattr(nnUNetTrainer, name)) == OVERRIDDEN[name]


def test_no_method_is_overridden_but_those():
    """A method of ours that a new release adds by chance under the same name would be called by nnU-Net."""
    classes = (ResumableTrainer, InterruptibleTrainer, LoadingTrainer, LWITrainer, nnUNetTrainerLWIInit, nnUNetTrainerLWISeg)
    ours = {name for cls in classes for name, value in vars(cls).items()
            if callable(value) or isinstance(value, (staticmethod, property))}  # fmt: skip
    assert {name for name in ours if hasattr(nnUNetTrainer, name)} - {"__doc__", "__module__"} == OVERRIDDEN.keys()


def test_init_arguments_are_taken_by_name_from_the_subclass():
    """``my_init_kwargs`` looks each parameter of a subclass up among nnUNetTrainer's own; another name is a KeyError."""
    assert parameters(LWITrainer.__init__) == parameters(nnUNetTrainer.__init__)


def test_the_run_script_sets_continue_training_in_the_plans(dataset):
    """The constructor pops that key: TinyDataset.trainer and whoever makes a trainer by hand set it."""
    assert 'plans["continue_training"]' in inspect.getsource(run_training.get_trainer_from_args)
    with pytest.raises(KeyError, match="continue_training"):
        nnUNetTrainer(deepcopy(dataset.plans), "3d_fullres", 0, dataset.dataset_json, torch.device("cpu"))


@pytest.mark.parametrize(
    "attribute",
    [
        "is_ddp",
        "local_rank",
        "device",
        "my_init_kwargs",
        "plans_manager",
        "configuration_manager",
        "configuration_name",
        "dataset_json",
        "fold",
        "preprocessed_dataset_folder_base",
        "preprocessed_dataset_folder",
        "output_folder",
        "dataset_class",
        "initial_lr",
        "weight_decay",
        "oversample_foreground_percent",
        "num_iterations_per_epoch",
        "num_val_iterations_per_epoch",
        "num_epochs",
        "current_epoch",
        "enable_deep_supervision",
        "label_manager",
        "network",
        "optimizer",
        "lr_scheduler",
        "grad_scaler",
        "loss",
        "log_file",
        "logger",
        "dataloader_train",
        "dataloader_val",
        "_best_ema",
        "inference_allowed_mirroring_axes",
        "save_every",
        "disable_checkpointing",
        "was_initialized",
    ],
)
def test_an_attribute_is_set_by_the_constructor(trainer, attribute):
    """Ours read or replace it right after ``super().__init__()``."""
    assert hasattr(trainer, attribute)


def test_the_constructor_makes_the_folder_and_the_log(trainer):
    """Ours check everything before it, and ``discard_output`` removes just these."""
    assert list(Path(trainer.output_folder).iterdir()) == [Path(trainer.log_file)]
    assert trainer.grad_scaler is None


def test_build_network_architecture_is_asked_of_the_instance(dataset):
    """LWIInit hides the static method, which refuses to predict, behind an attribute of the instance."""
    assert isinstance(vars(nnUNetTrainer)["build_network_architecture"], staticmethod)
    trainer, built = dataset.trainer(nnUNetTrainer), build_unet(STRIDES)
    trainer.build_network_architecture = lambda plans_manager, *_: built
    trainer.initialize()
    assert trainer.network is built


def test_the_predictor_asks_the_class_for_its_network():
    """So that predicting with LWIInit is refused; the checkpoint's keys are those that ``save_checkpoint`` writes."""
    source = inspect.getsource(nnUNetPredictor.initialize_from_trained_model_folder)
    assert "trainer_class.build_network_architecture(" in source and "'plans_manager' in sig.parameters" in source
    for key in ("trainer_name", "network_weights", "inference_allowed_mirroring_axes"):
        assert f"checkpoint['{key}']" in source
    assert "checkpoint['init_args']['configuration']" in source


def test_a_checkpoint_of_nnunets_has_the_keys_that_ours_have(trainer, tmp_path):
    """Ours are read by nnU-Net's predictor and by other tools."""
    trainer.initialize()
    trainer.save_checkpoint(str(tmp_path / "checkpoint.pth"))
    assert torch.load(tmp_path / "checkpoint.pth", weights_only=False).keys() == {
        "network_weights", "optimizer_state", "grad_scaler_state", "logging", "_best_ema", "current_epoch", "init_args",
        "trainer_name", "inference_allowed_mirroring_axes",
    }  # fmt: skip


def test_the_order_of_a_training(monkeypatch, trainer):
    """Losses are checked in ``on_epoch_end`` before anything is saved; the start is decided before ``on_train_start``."""
    calls: list[str] = []
    hooks = [
        "on_train_start", "on_epoch_start", "on_train_epoch_start", "train_step", "on_train_epoch_end",
        "on_validation_epoch_start", "validation_step", "on_validation_epoch_end", "on_epoch_end", "on_train_end",
    ]  # fmt: skip
    for name in hooks:
        monkeypatch.setattr(trainer, name, lambda *_, name=name: calls.append(name))
    trainer.num_epochs = trainer.num_iterations_per_epoch = trainer.num_val_iterations_per_epoch = 1
    trainer.dataloader_train = trainer.dataloader_val = iter([{}] * 2)
    trainer.run_training()
    assert calls == hooks


def test_a_training_starts_with_the_loaders(monkeypatch, trainer):
    """``get_dataloaders`` stops at bad voxels before ``on_train_start`` writes plans and debug information."""
    trainer.initialize()

    def stop():
        raise KeyboardInterrupt

    monkeypatch.setattr(trainer, "get_dataloaders", stop)
    with pytest.raises(KeyboardInterrupt):
        trainer.on_train_start()
    assert len(list(Path(trainer.output_folder).iterdir())) == 1 and not list(
        Path(trainer.output_folder_base).glob("*.json")
    )


def test_save_every_says_when_checkpoint_latest_is_written():
    """LWISeg sets it each epoch to 1, or beyond the end."""
    source = inspect.getsource(nnUNetTrainer.on_epoch_end)
    assert "(current_epoch + 1) % self.save_every == 0" in source and "checkpoint_latest.pth" in source


def test_the_end_of_a_training_writes_checkpoint_final(monkeypatch, trainer):
    """Step 2 takes that file for a finished step 1; the epoch in it is the last one's."""
    saved = []
    monkeypatch.setattr(trainer, "save_checkpoint", lambda path: saved.append((Path(path).name, trainer.current_epoch)))
    trainer.current_epoch = 5
    trainer.on_train_end()
    assert saved == [("checkpoint_final.pth", 4)]


def test_c_prefers_final_then_latest_then_best_and_else_starts_anew(monkeypatch, trainer):
    """Ours resume from whatever ``load_checkpoint`` is given, a path; no checkpoint is a new start."""
    given = []
    monkeypatch.setattr(trainer, "load_checkpoint", given.append)
    run_training.maybe_load_checkpoint(trainer, continue_training=True, validation_only=False)
    for kind in ("best", "latest", "final"):
        (Path(trainer.output_folder) / f"checkpoint_{kind}.pth").touch()
        run_training.maybe_load_checkpoint(trainer, continue_training=True, validation_only=False)
    assert [Path(path).stem for path in given] == ["checkpoint_best", "checkpoint_latest", "checkpoint_final"]
    assert all(isinstance(path, str) for path in given)


def test_pretrained_weights_are_loaded_between_initialize_and_run_training(monkeypatch, trainer):
    """``weights_were_loaded`` compares with the weights as ``initialize`` left them."""
    calls = []
    monkeypatch.setattr(trainer, "initialize", lambda: calls.append("initialize"))
    monkeypatch.setattr(run_training, "load_pretrained_weights", lambda network, path, verbose: calls.append(path))
    run_training.maybe_load_checkpoint(trainer, False, False, "a.pth")
    assert calls == ["initialize", "a.pth"]


def test_loading_weights_raises_the_version_of_every_parameter():
    """torch's ``_version`` is how ``-pretrained_weights`` is told from weights as drawn."""
    network = build_unet(STRIDES)
    before = {name: parameter._version for name, parameter in network.named_parameters()}
    network.load_state_dict(deepcopy(network.state_dict()))
    assert all(parameter._version > before[name] for name, parameter in network.named_parameters())


def test_pretrained_weights_leave_out_seg_layers_and_assert_the_rest(tmp_path):
    """The step 1 checkpoint is written for this, and ``require_fitting_weights`` says the same before."""
    source, target = build_unet(STRIDES, outputs=1), build_unet(STRIDES, outputs=3)
    torch.save({"network_weights": source.state_dict()}, tmp_path / "a.pth")
    load_pretrained_weights(target, str(tmp_path / "a.pth"))
    for key, value in target.state_dict().items():
        assert ".seg_layers." in key or torch.equal(value, source.state_dict()[key])
    for wrong in ({}, build_unet(STRIDES, features=6).state_dict()):
        torch.save({"network_weights": wrong}, tmp_path / "a.pth")
        with pytest.raises(AssertionError):
            load_pretrained_weights(target, str(tmp_path / "a.pth"))


def test_pretrained_weights_are_unpickled(tmp_path):
    """Documented as nnU-Net's: should it end, docs/reference/errors.md and docs/explanation/method.md may say so."""
    torch.save({"network_weights": Path("not plain")}, tmp_path / "a.pth")
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / "a.pth", weights_only=True)
    with pytest.raises(TypeError, match="not iterable"):
        load_pretrained_weights(build_unet(STRIDES), str(tmp_path / "a.pth"))


def test_the_logger_speaks_through_local_logger(tmp_path):
    """LWIInit puts its own there: values, checkpoint and progress.png must come from it."""
    logger, ours = MetaLogger(str(tmp_path), False), LocalLogger()
    logger.local_logger = ours
    logger.log("train_losses", 1.5, 0)
    assert ours.my_fantastic_logging["train_losses"] == [1.5] and logger.get_value("train_losses", step=-1) == 1.5
    assert logger.get_checkpoint() is ours.my_fantastic_logging
    logger.load_checkpoint({"train_losses": [2.0]})
    assert ours.my_fantastic_logging == {"train_losses": [2.0]}


def test_an_exception_that_is_a_system_exit_is_caught_by_nothing():
    """UserError is one: whoever catches BaseException, or SystemExit, on its way would hide the line."""
    for module in (run_training, inspect.getmodule(nnUNetTrainer), inspect.getmodule(recursive_find_python_class)):
        source = inspect.getsource(module)
        assert "except:" not in source and "BaseException" not in source and "SystemExit" not in source


def test_the_folders_are_read_from_the_environment_when_asked(monkeypatch):
    """Tests, ``require_preprocessed`` and the command line ask ``is_set`` and ``str``."""
    monkeypatch.setenv("nnUNet_results", "/somewhere")
    monkeypatch.delenv("nnUNet_preprocessed", raising=False)
    assert str(nnUNet_results) == "/somewhere" and nnUNet_results.is_set() and not nnUNet_preprocessed.is_set()


def test_a_configuration_keeps_keys_that_nnunet_does_not_know(dataset):
    """The ``lwi`` block is one; inheritance is shallow, and the managers give everything that ours read."""
    manager = PlansManager(dataset.plans)
    configuration = manager.get_configuration("other_spacing")
    assert configuration.configuration["lwi"] == dataset.plans["configurations"]["3d_fullres"]["lwi"]
    assert (manager.dataset_name, manager.plans_name) == (NAME, "nnUNetPlans")
    assert "3d_fullres" in manager.available_configurations
    for name in ("data_identifier", "batch_size", "patch_size", "spacing", "normalization_schemes", "use_mask_for_norm",
                 "network_arch_class_name", "network_arch_init_kwargs", "network_arch_init_kwargs_req_import",
                 "previous_stage_name", "next_stage_names"):  # fmt: skip
        assert isinstance(getattr(ConfigurationManager, name), property)


def test_parents_that_are_missing_or_go_in_a_circle_raise_what_is_caught(dataset):
    """``resolve_configuration`` turns ValueError and RuntimeError into one line."""
    dataset.plans["configurations"] |= {"a": {"inherits_from": "nowhere"}, "b": {"inherits_from": "b"}}
    with pytest.raises(ValueError, match="nowhere"):
        PlansManager(dataset.plans).get_configuration("a")
    with pytest.raises(RuntimeError, match="Circular"):
        PlansManager(dataset.plans).get_configuration("b")


def test_a_network_is_built_from_these_arguments():
    """``build.py`` passes them by position, deep supervision by name."""
    names = ["arch_class_name", "arch_kwargs", "arch_kwargs_req_import", "input_channels", "output_channels"]
    assert parameters(get_network_from_plans)[:5] == names
    assert "deep_supervision" in parameters(get_network_from_plans)


def test_nnunets_networks_have_encoder_decoder_and_seg_layers():
    """The protocol of every network in step 1; its keys are the hand-over."""
    network = build_unet(STRIDES)
    features = network.encoder(torch.zeros(1, 1, 8, 8, 8))
    assert isinstance(features, list) and len(features) == len(STRIDES)
    assert len(network.decoder(features)) == len(network.decoder.seg_layers) == len(STRIDES) - 1
    network.decoder.deep_supervision = False
    assert network.decoder(features).shape == (1, 1, 8, 8, 8)


def test_a_label_manager_without_labels_makes_the_loader_draw_uniformly(trainer):
    """Step 1 reads no label: with it the loader looks for no annotated voxel."""
    manager = LabelManager({"background": 0}, None)
    assert not manager.has_ignore_label and not manager.has_regions and manager.foreground_labels == []
    trainer.initialize()
    dataset, _ = trainer.get_tr_and_val_datasets()
    loader = nnUNetDataLoader(dataset, 1, (8, 16, 16), (8, 16, 16), manager, 0.0)
    assert not loader.has_ignore and not loader.get_do_oversample(0)
    loader.get_bbox(np.array([12, 20, 18]), False, None)


@pytest.mark.parametrize("name", ["label_manager", "oversample_foreground_percent", "batch_size", "is_cascaded"])
def test_the_loaders_are_made_from_attributes_of_the_trainer(name):
    """LWIInit replaces the first two after construction."""
    assert f"self.{name}" in inspect.getsource(nnUNetTrainer.get_dataloaders)


def test_the_loaders_take_the_data_sets_from_an_own_method():
    """``get_tr_and_val_datasets`` is where ours put the search for NaN and infinity."""
    assert "self.get_tr_and_val_datasets()" in inspect.getsource(nnUNetTrainer.get_dataloaders)


def test_the_loader_uses_of_a_data_set_its_identifiers_and_load_case():
    """CheckedDataset has no more."""

    class DataSet:
        identifiers = ("a",)

        def load_case(self, identifier):
            return Volume(), np.zeros((1, 4, 4, 4), np.int16), None, {"class_locations": {}}

    class Volume:
        shape, dtype = (1, 4, 4, 4), np.dtype(np.float32)

        def __getitem__(self, key):
            return np.ones(self.shape, np.float32)[key]

    loader = nnUNetDataLoader(DataSet(), 2, (4, 4, 4), (4, 4, 4), LabelManager({"background": 0}, None), 0.0)
    batch = next(loader)
    assert (
        batch.keys() == {"data", "target", "keys"} and batch["data"].shape == (2, 1, 4, 4, 4) and (batch["data"] == 1).all()
    )


def test_cropping_reads_one_slice_and_pads_it():
    """CheckedVolume looks at what is read: were it read in parts, or whole, the search would cost more or miss some."""
    read = []

    class Volume:
        shape, dtype = (1, 4, 4, 4), np.dtype(np.float32)

        def __getitem__(self, key):
            read.append(key)
            return np.ones(self.shape, np.float32)[key]

    cropped = crop_and_pad_nd(Volume(), [[-1, 3], [0, 4], [2, 6]], 0)
    assert read == [(slice(None), slice(0, 3), slice(0, 4), slice(2, 4))] and cropped.shape == (1, 4, 4, 4)


def test_a_case_is_image_segmentation_previous_stage_and_properties(trainer):
    """``load_image`` takes the first, CheckedDataset passes the others on."""
    trainer.initialize()
    data_set = trainer.dataset_class(trainer.preprocessed_dataset_folder, ["case_0"])
    image, segmentation, previous, properties = data_set.load_case("case_0")
    assert image[:].shape[0] == 1 and segmentation.shape == image.shape and previous is None
    assert "class_locations" in properties and data_set.identifiers == ["case_0"]
    assert sorted(trainer.dataset_class.get_identifiers(trainer.preprocessed_dataset_folder))[0] == "case_0"


def test_workers_are_those_of_one_augmenter_and_it_ends_them(monkeypatch, trainer):
    """After a mistake they are ended with ``_finish``; one that raises would print a traceback and no case."""
    assert "except Exception" in inspect.getsource(nondet_multi_threaded_augmenter.producer)
    assert callable(NonDetMultiThreadedAugmenter._finish)
    assert "results_loop_thread" in NonDetMultiThreadedAugmenter._finish.__code__.co_names
    trainer.initialize()
    train, _ = trainer.get_dataloaders()
    assert isinstance(train, SingleThreadedAugmenter) and isinstance(train.data_loader, nnUNetDataLoader)


def test_the_mirrored_axes_are_the_last_of_four(trainer):
    """LWIInit takes depth out of them, and out of what the predictor mirrors."""
    *_, mirror_axes = trainer.configure_rotation_dummyDA_mirroring_and_inital_patch_size()
    assert tuple(mirror_axes) == (0, 1, 2) == tuple(trainer.inference_allowed_mirroring_axes)


def test_transforms_are_a_list_on_image_and_segmentation(trainer):
    """``without_labels`` puts one before the others."""
    for name in ("get_training_transforms", "get_validation_transforms"):
        assert isinstance(vars(nnUNetTrainer)[name], staticmethod)
    composed = nnUNetTrainer.get_validation_transforms(None)
    assert isinstance(composed, ComposeTransforms) and isinstance(composed.transforms, list)
    assert parameters(SegOnlyTransform._apply_to_segmentation)[0] == "segmentation"


def test_the_weights_of_deep_supervision_can_be_replaced(trainer):
    """LWISeg sets a network's own, and 1 where nnU-Net's single weight is 0/0."""
    trainer.initialize()
    assert isinstance(trainer.loss, DeepSupervisionWrapper) and isinstance(trainer.loss.weight_factors, tuple)
    assert trainer._get_deep_supervision_scales() == [[1, 1, 1], [0.5, 0.5, 0.5]]


def test_trainers_are_found_in_modules_of_a_folder_by_their_names(tmp_path):
    """``trainers/`` holds a module that imports both; what a lookup imported from there is forgotten again."""
    (tmp_path / "module_of_trainers.py").write_text("from fractions import Fraction as Found\n")

    def look_up(name):
        return recursive_find_python_class(
            str(tmp_path), name, None, base_folder=str(tmp_path), cleanup_imports_from_base_folder=True
        )

    assert look_up("Found") is Fraction and look_up("Other") is None
    assert "module_of_trainers" not in sys.modules


def test_the_splits_are_read_from_this_file(trainer):
    """``read_splits`` looks at the same one before nnU-Net does."""
    assert '"splits_final.json"' in inspect.getsource(nnUNetTrainer.do_split)
    trainer.do_split()
    assert (Path(trainer.preprocessed_dataset_folder_base) / "splits_final.json").is_file()


def test_a_loader_without_transforms_hands_out_what_it_cut(trainer):
    """On CUDA its workers get none: the transforms run on the device, on what comes out here."""
    trainer.initialize()
    trainer.get_training_transforms = lambda *args, **kwargs: None
    train, _ = trainer.get_dataloaders()
    batch = next(train)
    assert batch["target"].dtype == torch.int16 and batch["target"].shape == (2, 1, *batch["data"].shape[2:])
    assert tuple(batch["data"].shape[2:]) == tuple(train.data_loader.patch_size)


def test_the_end_of_a_training_ends_only_augmenters():
    """The device's loader is taken off before: nnU-Net would leave its workers running."""
    assert "isinstance(self.dataloader_train, (NonDetMultiThreadedAugmenter" in inspect.getsource(nnUNetTrainer.on_train_end)
