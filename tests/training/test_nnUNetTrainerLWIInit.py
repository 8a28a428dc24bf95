"""Step 1 as nnU-Net runs it, on a tiny data set: what it writes, that labels have no influence, that it can be repeated."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
import torch
from batchgeneratorsv2.transforms.spatial.mirroring import MirrorTransform
from matplotlib.image import imread
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from torch._dynamo import OptimizedModule

from nnunetv2_lwi.method.feature_rank import FeatureMoments
from nnunetv2_lwi.nnunet.patches import tile
from nnunetv2_lwi.one_writer import LOCK
from nnunetv2_lwi.training import resumable
from nnunetv2_lwi.training.monitoring.readouts import TrainingProbe
from nnunetv2_lwi.training.nnUNetTrainerLWIInit import nnUNetTrainerLWIInit


def run(trainer) -> dict[str, torch.Tensor]:
    trainer.run_training()
    return {key: value.clone() for key, value in trainer.unwrapped_network.state_dict().items()}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.draws
def test_a_training_writes_what_nnunet_would_and_pictures(dataset):
    trainer = dataset.trainer(nnUNetTrainerLWIInit)
    trainer.run_training()
    trainer.perform_actual_validation()
    folder = dataset.output_folder("nnUNetTrainerLWIInit")
    names = {path.name for path in folder.iterdir()}
    assert {"checkpoint_final.pth", "checkpoint_best.pth", "progress.png", "pictures", "validation"} <= names
    assert [path.name for path in folder.glob(".*")] == [LOCK]
    assert sorted(path.name for path in (folder / "pictures").iterdir()) == ["epoch_0000.png", "epoch_0001.png"]
    summary = json.loads((folder / "validation" / "summary.json").read_text())
    assert summary["chance_order_accuracy"] == 0.5 and summary["num_subvolumes"] == 2
    cases = [entry["case"] for entry in summary["metric_per_case"]]
    assert cases == sorted(trainer.val_cases) and len(cases) == 1
    assert {path.name for path in (folder / "validation").glob("*.png")} == {f"{case}.png" for case in cases}
    assert all(imread(path).std() > 0.05 for path in folder.rglob("*.png"))
    for level in (0, 1, 2):
        assert 0 <= summary["mean"][f"order_accuracy_level_{level}"] <= 1
    assert summary["mean"]["reconstruction_loss"] > 0 and summary["mean"]["reconstruction_loss_of_input"] > 0
    assert [level["channels"] for level in summary["features"]] == [4, 8, 16]
    assert all(1 <= level["effective_rank"] <= level["channels"] for level in summary["features"])
    log = next(folder.glob("training_log_*.txt")).read_text()
    assert (
        f"Effective rank of the encoder's features, levels 0 to 2: {summary['features'][0]['effective_rank']:.1f} of 4"
        in log
    )
    for words in ("order accuracy (chance 0.500): level 0 train", "reconstruction", "New best validation loss", "heads at"):
        assert words in log


def test_the_network_is_compiled_for_steps_alone(dataset, monkeypatch):
    """Once with gradients and once without, as nnU-Net's: not for a picture's one patch, nor for a case's last patches."""
    compiled = []

    def count(graph, inputs):
        compiled.append(graph)
        return graph.forward

    torch.compiler.reset()
    trainer = dataset.trainer(nnUNetTrainerLWIInit)
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=count))
    monkeypatch.setattr(trainer, "_do_i_compile", lambda: True)
    trainer.run_training()
    assert isinstance(trainer.network, OptimizedModule)
    assert len(list((Path(trainer.output_folder) / "pictures").iterdir())) == 2
    trainer.perform_actual_validation()
    assert len(compiled) == 2


def test_the_checkpoint_is_plain_and_is_nnunets(dataset):
    run(dataset.trainer(nnUNetTrainerLWIInit))
    checkpoint = torch.load(
        dataset.output_folder("nnUNetTrainerLWIInit") / "checkpoint_final.pth", map_location="meta", weights_only=True
    )
    expected = dataset.trainer(nnUNetTrainer)
    expected.initialize()
    assert checkpoint["network_weights"].keys() == expected.network.state_dict().keys()
    for key, tensor in expected.network.state_dict().items():
        ours = checkpoint["network_weights"][key].shape
        assert ours[1:] == tensor.shape[1:] and (ours[0] == 1 if ".seg_layers." in key else ours[0] == tensor.shape[0])
    assert checkpoint["trainer_name"] == "nnUNetTrainerLWIInit" and checkpoint["current_epoch"] == 2
    provenance = checkpoint["lwi"]["provenance"]
    assert provenance["dataset_name"] == "Dataset999_Tiny" and provenance["fold"] == 0 and len(provenance["cases"]) == 4
    assert provenance["versions"]["nnunetv2"] and checkpoint["lwi"]["digest"]["lwi"]["seed"] == 3
    assert {key.split(".")[1] for key in checkpoint["lwi"]["order_heads"]} == {"0", "1", "2"}
    assert any(line.startswith("lwi.order_heads = ") for line in checkpoint["lwi"]["decisions"])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"ignore_label": True},
        {"use_mask_for_norm": True},
        {"channels": 2, "ignore_label": True, "use_mask_for_norm": True, "regions": True},
        {"channels": 2, "ignore_label": True, "use_mask_for_norm": True, "scans": 2},
    ],
    ids=str,
)
def test_labels_have_no_influence(make_dataset, options):
    plain = run(make_dataset("plain", **options).trainer(nnUNetTrainerLWIInit))
    scrambled = run(make_dataset("scrambled", scrambled=True, **options).trainer(nnUNetTrainerLWIInit))
    assert same(plain, scrambled)


class ReadsLabels(nnUNetTrainerLWIInit):
    """Keeps nnU-Net's label manager and transforms: the test above must tell it."""

    def __init__(self, plans, configuration, fold, dataset_json, device=torch.device("cpu")):  # noqa: B008
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.label_manager = self.plans_manager.get_label_manager(dataset_json)
        self.oversample_foreground_percent = 0.33

    get_training_transforms = staticmethod(nnUNetTrainer.get_training_transforms)
    get_validation_transforms = staticmethod(nnUNetTrainer.get_validation_transforms)


@pytest.mark.parametrize("options", [{}, {"ignore_label": True}], ids=str)
def test_a_trainer_that_reads_labels_is_told(make_dataset, options):
    plain = run(make_dataset("plain", **options).trainer(ReadsLabels))
    scrambled = run(make_dataset("scrambled", scrambled=True, **options).trainer(ReadsLabels))
    assert not same(plain, scrambled)


def test_a_seed_repeats_a_training_and_another_does_not(dataset):
    first = run(dataset.trainer(nnUNetTrainerLWIInit))
    assert same(first, run(dataset.trainer(nnUNetTrainerLWIInit)))
    assert not same(first, run(dataset.trainer(nnUNetTrainerLWIInit, seed=4)))


@pytest.mark.parametrize(("optimizer", "scans"), [("SGD", 0), ("AdamW", 0), ("SGD", 3)])
def test_a_resumed_training_is_the_uninterrupted_one(make_dataset, monkeypatch, optimizer, scans):
    dataset = make_dataset(scans=scans)
    monkeypatch.setattr(resumable, "SECONDS_BETWEEN_CHECKPOINTS", 0)
    settings = {"init": {"epochs": 4, "optimizer": optimizer, "lr": 1e-3, "warmup_epochs": 1}}
    whole = dataset.trainer(nnUNetTrainerLWIInit, **settings)
    expected = run(whole)
    cut = dataset.trainer(nnUNetTrainerLWIInit, **settings)
    monkeypatch.setattr(cut, "on_epoch_start", stop_before_epoch(cut, 2))
    with pytest.raises(KeyboardInterrupt):
        cut.run_training()
    resumed = dataset.trainer(nnUNetTrainerLWIInit, **settings)
    resumed.load_checkpoint(str(dataset.output_folder("nnUNetTrainerLWIInit") / "checkpoint_latest.pth"))
    assert resumed.current_epoch == 2
    assert same(run(resumed), expected)
    for key in ("train_losses", "val_losses", "lrs"):
        assert resumed.logger.get_value(key, None) == whole.logger.get_value(key, None)
    assert resumed.best_val_loss == whole.best_val_loss


def test_a_generator_of_a_gpu_of_an_earlier_version_is_not_gone_on_with(dataset):
    """Its state is 16 bytes long."""
    trainer = dataset.trainer(nnUNetTrainerLWIInit)
    trainer.initialize()
    trainer.current_epoch = 1
    state = trainer.random_state()
    before = trainer.generator.get_state()
    trainer.restore_random_state({**state, "transformation": torch.zeros(16, dtype=torch.uint8)})
    assert not torch.equal(trainer.generator.get_state(), before)
    trainer.restore_random_state(state)
    assert torch.equal(trainer.generator.get_state(), before)


def stop_before_epoch(trainer, epoch: int):
    on_epoch_start = trainer.on_epoch_start

    def stop():
        if trainer.current_epoch == epoch:
            raise KeyboardInterrupt
        on_epoch_start()

    return stop


def mirrored_axes(trainer) -> tuple[int, ...]:
    trainer.initialize()
    trainer.dataloader_train, _ = trainer.get_dataloaders()
    (mirror,) = [t for t in trainer.dataloader_train.data_loader.transforms.transforms if isinstance(t, MirrorTransform)]
    return tuple(mirror.allowed_axes)


def test_depth_is_not_mirrored_while_the_order_is_predicted(dataset):
    assert mirrored_axes(dataset.trainer(nnUNetTrainerLWIInit)) == (1, 2)
    assert mirrored_axes(dataset.trainer(nnUNetTrainerLWIInit, order_weight=0)) == (0, 1, 2)


@pytest.mark.parametrize(
    "block", [{"order_weight": 0}, {"reconstruction_weight": 0}, {"masking": {"strategy": "tube"}}], ids=str
)
def test_every_objective_trains_alone(dataset, block):
    trainer = dataset.trainer(nnUNetTrainerLWIInit, **block)
    before = {name: value.clone() for name, value in trainer_network(trainer).named_parameters()}
    run(trainer)
    trainer.perform_actual_validation()
    for name, parameter in trainer_network(trainer).named_parameters():
        assert torch.equal(parameter, before[name]) != parameter.requires_grad, name
    summary = json.loads((dataset.output_folder("nnUNetTrainerLWIInit") / "validation" / "summary.json").read_text())
    assert ("order_loss" in summary["mean"]) == ("order_weight" not in block)
    assert ("reconstruction_loss" in summary["mean"]) == ("reconstruction_weight" not in block)


def test_features_are_those_of_whole_patches_in_their_own_order(dataset):
    trainer = dataset.trainer(nnUNetTrainerLWIInit)
    trainer.initialize()
    image = torch.randn(1, 12, 20, 18, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        levels = trainer.pretext_network.network.encoder(torch.stack(tile(image, trainer.configuration_manager.patch_size)))
    for batch_size in (1, 3):
        found = trainer.evaluate.features_of_case(image, batch_size)
        for moments, level in zip(found, levels, strict=True):
            assert torch.allclose(moments.total, level.double().sum((0, 2, 3, 4)), rtol=1e-4)
            assert moments.effective_rank() == pytest.approx(FeatureMoments.of(level).effective_rank(), rel=1e-3)


def trainer_network(trainer):
    if not trainer.was_initialized:
        trainer.initialize()
    return trainer.unwrapped_network


def test_fold_all_trains_and_validates(dataset):
    trainer = dataset.trainer(nnUNetTrainerLWIInit, fold="all")
    run(trainer)
    trainer.perform_actual_validation()
    summary = json.loads((dataset.output_folder("nnUNetTrainerLWIInit", "all") / "validation" / "summary.json").read_text())
    assert len(summary["metric_per_case"]) == 5


def test_pictures_are_the_same_at_every_call(dataset):
    trainer = dataset.trainer(nnUNetTrainerLWIInit)
    run(trainer)
    image = torch.randn(1, 6, 18, 30)
    first, second = (trainer.evaluate.example(image, (2.0, 1.0, 1.0)) for _ in range(2))
    assert (first.order == second.order).all() and (first.masked == second.masked).all()
    assert first.reconstruction.shape == (8, 16, 16)


def test_the_folder_that_nnunet_searches_holds_both_trainers(monkeypatch):
    from nnunetv2.utilities.find_class_by_name import recursive_find_python_class

    from nnunetv2_lwi.nnunet.commands import trainers_folder

    folder = trainers_folder()
    for name in ("nnUNetTrainerLWIInit", "nnUNetTrainerLWISeg"):
        found = recursive_find_python_class(
            str(folder), name, None, base_folder=str(folder), cleanup_imports_from_base_folder=True
        )
        assert found.__module__ == f"nnunetv2_lwi.training.{name}"
    assert Path(folder).is_dir()


@pytest.mark.parametrize(
    ("masking", "warned"),
    [
        ({"ratio": 0.4, "patch_size": [4, 8, 8]}, None),
        ({"ratio": 0.0}, None),
        ({"ratio": 0.2}, "WARNING: 0 of 2 cells are masked in every sample"),
        ({"ratio": 0.8}, "WARNING: 2 of 2 cells are masked in every sample"),
        ({"ratio": 0.4, "strategy": "tube"}, "WARNING: 0 of 1 columns of cells are masked in every sample"),
    ],
    ids=str,
)
def test_a_mask_of_nothing_or_all_is_warned_of(dataset, masking, warned):
    trainer = dataset.trainer(nnUNetTrainerLWIInit, recipe="paper", masking=masking)
    trainer.initialize()
    log = Path(trainer.log_file).read_text()
    assert warned in log if warned else "WARNING" not in log


def test_validation_can_be_run_alone(dataset):
    """``--val``: the checkpoint is loaded, and no training is started."""
    run(dataset.trainer(nnUNetTrainerLWIInit))
    again = dataset.trainer(nnUNetTrainerLWIInit)
    again.load_checkpoint(str(dataset.output_folder("nnUNetTrainerLWIInit") / "checkpoint_final.pth"))
    again.perform_actual_validation(True)
    assert (dataset.output_folder("nnUNetTrainerLWIInit") / "validation" / "summary.json").is_file()
    assert "--npz has no effect in step 1" in Path(again.log_file).read_text()


def test_levels_without_a_head_are_named_in_the_log(dataset):
    undivided = dataset.trainer(nnUNetTrainerLWIInit, num_subvolumes=4)
    undivided.initialize()
    assert "No order head at level 2: its depth 2 is no multiple of 4." in Path(undivided.log_file).read_text()
    left_out = dataset.trainer(nnUNetTrainerLWIInit, order_levels=[2])
    left_out.initialize()
    assert "No order head at level 0: network or plan leave it out." in Path(left_out.log_file).read_text()


def test_the_best_checkpoint_is_of_the_lowest_validation_loss(dataset, monkeypatch):
    trainer = dataset.trainer(nnUNetTrainerLWIInit, init={"epochs": 4})
    losses = iter([3.0, 1.0, 2.0, 1.5])

    def log_validation(outputs):
        for name in ("losses", *trainer.logger.local_logger.parts):
            trainer.logger.log(f"val_{name}", next(losses) if name == "losses" else 0.0, trainer.current_epoch)

    monkeypatch.setattr(trainer, "on_validation_epoch_end", log_validation)
    trainer.run_training()
    best = torch.load(Path(trainer.output_folder) / "checkpoint_best.pth", weights_only=True)
    assert best["lwi"]["best_val_loss"] == 1.0 and best["current_epoch"] == 2


def test_a_case_s_figures_are_means_over_its_patches_however_they_are_batched(dataset):
    """Seven patches: a smaller last batch must not count as much as a full one."""
    trainer = dataset.trainer(nnUNetTrainerLWIInit, masking={"ratio": 0.0}, order_weight=0)
    trainer.initialize()
    trainer.network.eval()
    depth, height, width = trainer.configuration_manager.patch_size
    image = torch.randn(1, depth * 7, height, width, generator=torch.Generator().manual_seed(0))
    image[:, -depth:] *= 10
    one, several = (trainer.evaluate.on_case(image, batch_size) for batch_size in (1, 3))
    assert one.keys() == several.keys()
    for name, value in one.items():
        assert several[name] == pytest.approx(value, rel=1e-4), name


def probes_in(trainer) -> list[str]:
    return [line for line in Path(trainer.log_file).read_text().splitlines() if "AUC of linear readouts" in line]


def test_the_log_tells_before_and_during_the_training_what_can_be_read_off_the_features(dataset):
    trainer = dataset.trainer(nnUNetTrainerLWIInit)
    run(trainer)
    lines = probes_in(trainer)
    assert [line.split("readouts ")[1].split(" (labels")[0] for line in lines] == [
        "before the training",
        "after epoch 0",
        "after epoch 1",
    ]
    areas = [float(text.split()[-1].rstrip(".")) for text in lines[-1].split("alone): ")[1].split(", ")]
    assert len(areas) == 5 and all(0 <= area <= 1 for area in areas)


def test_a_training_that_goes_on_says_nothing_of_before_the_training(dataset):
    first = dataset.trainer(nnUNetTrainerLWIInit)
    run(first)
    resumed = dataset.trainer(nnUNetTrainerLWIInit)
    resumed.load_checkpoint(str(Path(first.output_folder) / "checkpoint_final.pth"))
    run(resumed)
    assert resumed.log_file != first.log_file and resumed.readouts is not None and probes_in(resumed) == []


def test_without_labels_there_is_no_such_line_and_no_error(make_dataset):
    trainer = make_dataset(foreground=False).trainer(nnUNetTrainerLWIInit)
    run(trainer)
    assert probes_in(trainer) == [] and "No linear readouts" not in Path(trainer.log_file).read_text()


def test_a_probe_that_fails_ends_no_training(dataset, monkeypatch):
    monkeypatch.setattr(TrainingProbe, "line", lambda *_: 1 / 0)
    trainer = dataset.trainer(nnUNetTrainerLWIInit)
    run(trainer)
    log = Path(trainer.log_file).read_text()
    assert log.count("No linear readouts: ZeroDivisionError") == 1 and trainer.current_epoch == trainer.num_epochs


def test_what_a_readout_was_fitted_to_does_not_test_it(dataset):
    """Of fold "all" every case is both, and with as few as these none is left to test on."""
    trainer = dataset.trainer(nnUNetTrainerLWIInit, fold="all")
    run(trainer)
    assert probes_in(trainer) == []
