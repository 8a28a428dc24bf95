"""Step 2: what it starts from, the stock -pretrained_weights, and nnU-Net's own training as the oracle."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.run.load_pretrained_weights import load_pretrained_weights
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.planning.settings import HANDED_OVER
from nnunetv2_lwi.training import base, resumable
from nnunetv2_lwi.training.nnUNetTrainerLWIInit import nnUNetTrainerLWIInit
from nnunetv2_lwi.training.nnUNetTrainerLWISeg import nnUNetTrainerLWISeg
from tests.networks.conftest import SMALL
from tests.networks_for_tests import unet_kwargs
from tests.tiny_dataset import NAME, TinyDataset


@pytest.fixture
def step1(dataset: TinyDataset) -> Path:
    """The checkpoint of a finished step 1."""
    dataset.trainer(nnUNetTrainerLWIInit).run_training()
    return dataset.output_folder("nnUNetTrainerLWIInit") / "checkpoint_final.pth"


NETWORK = {"epochs": 2, "hand_over": "network"}


def weights_of(path: Path) -> dict[str, torch.Tensor]:
    return torch.load(path, weights_only=True)["network_weights"]


def trained_of(path: Path) -> dict[str, torch.Tensor]:
    """As step 1 left them, what it kept back too."""
    content = torch.load(path, weights_only=True)
    return {**content["network_weights"], **content["lwi"]["kept_back"]}


def start(trainer) -> dict[str, torch.Tensor]:
    """What the training starts from, without training."""
    trainer.num_epochs = 0
    trainer.on_train_start()
    return {key: value.clone() for key, value in trainer.unwrapped_network.state_dict().items()}


def assert_handed_over(state: dict[str, torch.Tensor], weights: dict[str, torch.Tensor]) -> None:
    for key, value in state.items():
        assert (".seg_layers." in key) != (value.shape == weights[key].shape and torch.equal(value, weights[key])), key


def log_of(trainer) -> str:
    return Path(trainer.log_file).read_text()


def test_it_finds_its_own_step_1_and_says_what_came_over(dataset, step1):
    trainer = dataset.trainer(nnUNetTrainerLWISeg, seg=NETWORK)
    assert_handed_over(start(trainer), trained_of(step1))
    log = log_of(trainer)
    total = len(weights_of(step1))
    assert f"{total - 4} of {total} tensors come from step 1" in log
    assert "4 stay random, being output layers: decoder.seg_layers.0.weight" in log
    assert "Start: step 1 of Dataset999_Tiny, plans nnUNetPlans, configuration 3d_fullres, fold 0" in log


def test_the_encoder_alone_goes_over_where_the_plan_says_nothing(dataset, step1):
    trainer = dataset.trainer(nnUNetTrainerLWISeg)
    state, weights = start(trainer), trained_of(step1)
    for key, value in state.items():
        same = value.shape == weights[key].shape and torch.equal(value, weights[key])
        drawn = value.dim() > 1
        if "encoder." in key:
            assert same, key
        elif drawn:
            assert not same, key
    encoder = sum("encoder." in key for key in state)
    assert f"{encoder} of {len(state)} tensors come from step 1; 4 stay random, being output layers" in log_of(trainer)
    alone = "stay as drawn, since the plan does not hand them over (lwi.seg.hand_over): decoder.stages.0"
    assert f"{len(state) - encoder - 4} {alone}" in log_of(trainer)


def test_settings_of_step_2_do_not_make_step_1_stale(dataset, step1):
    trainer = dataset.trainer(
        nnUNetTrainerLWISeg, seg={"epochs": 9, "optimizer": "AdamW", "lr": 1e-4, "hand_over": "network"}
    )
    assert_handed_over(start(trainer), trained_of(step1))


def test_validation_cases_that_step_1_saw_are_warned_of(dataset, step1):
    content = torch.load(step1, weights_only=True)
    content["lwi"]["provenance"]["cases"] = [f"case_{number}" for number in range(5)]
    torch.save(content, step1)
    trainer = dataset.trainer(nnUNetTrainerLWISeg)
    start(trainer)
    assert (
        f"WARNING: step 1 saw the images (not the labels) of 1 of this fold's validation cases: {trainer.val_cases[0]}"
        in (log_of(trainer))
    )


def test_random_weights_only_where_the_plan_says_so(dataset):
    trainer = dataset.trainer(nnUNetTrainerLWISeg, seg={"epochs": 2, "start": "random"})
    state = start(trainer)
    torch.manual_seed(3)
    expected = nnUNetTrainer.build_network_architecture(
        trainer.plans_manager, trainer.configuration_manager, 1, 3, True
    ).state_dict()
    assert all(torch.equal(state[key], expected[key]) for key in expected)
    assert "Start: random, as the plan says (initialization: network)" in log_of(trainer)


@pytest.mark.parametrize("scheme", ["xavier_uniform", "xavier_normal", "kaiming_uniform", "kaiming_normal", "trunc_normal"])
def test_initialization_schemes_draw_every_convolution_anew(dataset, scheme):
    state = start(dataset.trainer(nnUNetTrainerLWISeg, seg={"epochs": 2, "start": "random", "initialization": scheme}))
    weight = state["encoder.stages.1.0.convs.0.conv.weight"]
    fan_in, fan_out = weight[0].numel(), weight.shape[0] * weight[0, 0].numel()
    expected = {"xavier": (2 / (fan_in + fan_out)) ** 0.5, "kaiming": (2 / fan_in) ** 0.5, "trunc": 0.02}[
        scheme.split("_")[0]
    ]
    assert weight.std().item() == pytest.approx(expected, rel=0.1)
    assert not state["encoder.stages.1.0.convs.0.conv.bias"].any()


@pytest.mark.parametrize("cls", [nnUNetTrainer, nnUNetTrainerLWISeg, nnUNetTrainerLWIInit])
def test_the_stock_pretrained_weights_takes_step_1_for_any_trainer(dataset, step1, cls):
    trainer = dataset.trainer(cls)
    trainer.initialize()
    load_pretrained_weights(trainer.network, str(step1))
    network = trainer.network if cls is nnUNetTrainer else trainer.unwrapped_network
    for key, value in network.state_dict().items():
        assert ".seg_layers." in key or torch.equal(value, weights_of(step1)[key])
    assert torch.equal(
        network.state_dict()["decoder.encoder.stages.0.0.convs.0.conv.weight"], next(iter(network.parameters()))
    )


def name_weights(trainer, step1: Path, monkeypatch) -> None:
    """As if ``nnUNetv2_train ... -pretrained_weights`` ran."""
    words = ["nnUNetv2_train", "999", "3d_fullres", "1", "-tr", "nnUNetTrainerLWISeg", "-pretrained_weights", str(step1)]
    monkeypatch.setattr("sys.argv", words)
    trainer.initialize()
    load_pretrained_weights(trainer.network, str(step1))


def test_pretrained_weights_are_kept(dataset, step1):
    trainer = dataset.trainer(nnUNetTrainerLWISeg, masking={"ratio": 0.1}, seg=NETWORK)
    trainer.initialize()
    load_pretrained_weights(trainer.network, str(step1))
    assert_handed_over(start(trainer), weights_of(step1))
    total = len(weights_of(step1))
    assert f"(-pretrained_weights). {total - 4} of {total} tensors come from them; 4 stay random" in log_of(trainer)


@pytest.mark.parametrize("settings", [{}, {"hand_over": "encoder"}])
def test_of_a_step_1_that_was_named_only_what_the_plan_hands_over_is_kept(dataset, step1, monkeypatch, settings):
    """nnU-Net loads it whole; the start must be the one that the trainer makes of the same step 1."""
    own = start(dataset.trainer(nnUNetTrainerLWISeg, seg={"epochs": 2, **settings}))
    trainer = dataset.trainer(nnUNetTrainerLWISeg, seg={"epochs": 2, **settings})
    name_weights(trainer, step1, monkeypatch)
    loaded = start(trainer)
    assert all(torch.equal(own[key], loaded[key]) for key in own)
    weights = weights_of(step1)
    assert any(not torch.equal(loaded[key], weights[key]) for key in loaded if ".seg_layers." not in key)
    assert "stay as drawn, since the plan does not hand them over" in log_of(trainer)


@pytest.mark.parametrize(("settings", "decoder_is_kept"), [({}, True), ({"hand_over": "encoder"}, False)])
def test_weights_of_other_origin_are_kept_whole_unless_the_plan_itself_says_otherwise(
    dataset, monkeypatch, settings, decoder_is_kept
):
    """A finished step 2, say, that is to be trained longer, must not lose its decoder to what step 1 is best left with."""
    before = dataset.trainer(nnUNetTrainerLWISeg, seg={"start": "random", "epochs": 1})
    before.run_training()
    finished = dataset.output_folder("nnUNetTrainerLWISeg") / "checkpoint_final.pth"
    weights = weights_of(finished)
    trainer = dataset.trainer(nnUNetTrainerLWISeg, fold=1, seg={"epochs": 2, **settings})
    name_weights(trainer, finished, monkeypatch)
    begun = start(trainer)
    decoder = [key for key in begun if key.startswith("decoder.stages")]
    assert decoder and all(torch.equal(begun[key], weights[key]) for key in begun if key.startswith("encoder."))
    assert decoder_is_kept == all(torch.equal(begun[key], weights[key]) for key in decoder)
    assert decoder_is_kept == ("stay as drawn" not in log_of(trainer))


def test_of_a_step_1_that_was_named_the_log_tells_what_differs(dataset, step1, monkeypatch):
    trainer = dataset.trainer(nnUNetTrainerLWISeg, fold=1, masking={"ratio": 0.1})
    name_weights(trainer, step1, monkeypatch)
    start(trainer)
    log = log_of(trainer)
    assert "They are those of step 1 of Dataset999_Tiny, plans nnUNetPlans, configuration 3d_fullres, fold 0." in log
    assert "WARNING: step 1 had other settings than this plan: lwi.masking.ratio: 0.4, here 0.1." in log
    assert "WARNING: step 1 saw the images (not the labels) of 1 of this fold's validation cases" in log
    assert trainer.start["path"] == str(step1) and trainer.start["provenance"]["fold"] == 0


def test_a_training_of_other_settings_does_not_go_on(dataset, step1):
    """The optimiser's state would bring back the old momentum, and the next checkpoint claim the new settings throughout."""
    dataset.trainer(nnUNetTrainerLWISeg).run_training()
    trainer = dataset.trainer(nnUNetTrainerLWISeg, seg={"epochs": 2, "lr": 1e-2, "momentum": 0.5})
    with pytest.raises(UserError, match=r"does not fit .*: lwi\.seg\.momentum: 0\.99, here 0\.5\. Undo the change, or move"):
        trainer.load_checkpoint(str(dataset.output_folder("nnUNetTrainerLWISeg") / "checkpoint_final.pth"))


@pytest.mark.parametrize("parts", HANDED_OVER)
def test_of_a_named_step_1_goes_over_what_the_plan_hands_over_trained(dataset, step1, monkeypatch, parts):
    """Also what its ``network_weights`` have as drawn: the same start as from a step 1 that is found."""
    settings = {"epochs": 2, "hand_over": parts}
    found = start(dataset.trainer(nnUNetTrainerLWISeg, seg=settings))
    trainer = dataset.trainer(nnUNetTrainerLWISeg, seg=settings)
    name_weights(trainer, step1, monkeypatch)
    named = start(trainer)
    assert all(torch.equal(found[key], named[key]) for key in found)


@pytest.mark.parametrize(("parts", "drawn"), [("encoder", 8), ("all_but_last_stage", 5), ("network", 0)])
def test_a_finished_step_1_holds_what_starts_step_2_for_any_trainer(dataset, parts, drawn):
    """The stock command hands over all of ``network_weights``: what must not come along is in there as it was drawn."""
    settings = {"init": {"epochs": 1}, "seg": {"epochs": 1, "hand_over": parts}}
    trainer = dataset.trainer(nnUNetTrainerLWIInit, **settings)
    trainer.initialize()
    as_drawn = {key: value.clone() for key, value in trainer.unwrapped_network.state_dict().items()}
    trainer.run_training()
    trained = trainer.unwrapped_network.state_dict()
    path = dataset.output_folder("nnUNetTrainerLWIInit") / "checkpoint_final.pth"
    kept_back = torch.load(path, weights_only=True)["lwi"]["kept_back"]
    for key, value in weights_of(path).items():
        assert torch.equal(value, as_drawn[key] if key in kept_back else trained[key]), key
    assert all(torch.equal(value, trained[key]) for key, value in kept_back.items())
    weights = {key for key in kept_back if key.endswith("conv.weight") or ("transpconvs" in key and "weight" in key)}
    assert bool(weights) == bool(drawn) and not any("encoder." in key or ".seg_layers." in key for key in kept_back)
    assert any(not torch.equal(kept_back[key], as_drawn[key]) for key in weights) or not drawn


def test_a_finished_step_1_is_resumed_and_validated_as_it_was_trained(dataset):
    trainer = dataset.trainer(nnUNetTrainerLWIInit)
    trainer.run_training()
    again = dataset.trainer(nnUNetTrainerLWIInit)
    again.load_checkpoint(str(dataset.output_folder("nnUNetTrainerLWIInit") / "checkpoint_final.pth"))
    for key, value in trainer.unwrapped_network.state_dict().items():
        assert torch.equal(value, again.unwrapped_network.state_dict()[key]), key


def test_a_step_1_that_is_cut_goes_on_with_all_it_learned(dataset):
    trainer = dataset.trainer(nnUNetTrainerLWIInit, init={"epochs": 1})
    trainer.run_training()
    best = torch.load(dataset.output_folder("nnUNetTrainerLWIInit") / "checkpoint_best.pth", weights_only=True)
    assert "kept_back" not in best["lwi"]
    state = trainer.unwrapped_network.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in best["network_weights"].items())


def test_a_step_1_that_goes_on_from_another_takes_all_it_learned(dataset, step1, monkeypatch):
    trainer = dataset.trainer(nnUNetTrainerLWIInit)
    name_weights(trainer, step1, monkeypatch)
    state = start(trainer)
    assert all(torch.equal(state[key], value) for key, value in trained_of(step1).items() if ".seg_layers." not in key)


@pytest.mark.parametrize("named", [False, True])
def test_where_the_decoder_was_not_trained_the_log_says_so(dataset, monkeypatch, named):
    dataset.trainer(nnUNetTrainerLWIInit, reconstruction_weight=0).run_training()
    trainer = dataset.trainer(nnUNetTrainerLWISeg, reconstruction_weight=0, seg=NETWORK)
    if named:
        name_weights(trainer, dataset.output_folder("nnUNetTrainerLWIInit") / "checkpoint_final.pth", monkeypatch)
    start(trainer)
    assert "did not train them (lwi.reconstruction_weight is 0): decoder.stages.0" in log_of(trainer)


def train(trainer) -> dict[str, torch.Tensor]:
    trainer.run_training()
    return {key: value.clone() for key, value in trainer.unwrapped_network.state_dict().items()}


def test_from_a_random_start_it_is_nnunets_own_training(dataset):
    """Same seed, same data, same steps: the weights are those of nnUNetTrainer."""
    ours = train(dataset.trainer(nnUNetTrainerLWISeg, seg={"epochs": 2, "start": "random"}))
    theirs = dataset.trainer(nnUNetTrainer)
    theirs.num_epochs, theirs.num_iterations_per_epoch, theirs.num_val_iterations_per_epoch = 2, 2, 1
    base.seed_all(3)
    theirs.run_training()
    expected = theirs.network.state_dict()
    assert all(torch.equal(ours[key], expected[key]) for key in expected)


def test_a_resumed_training_is_the_uninterrupted_one(dataset, monkeypatch):
    monkeypatch.setattr(resumable, "SECONDS_BETWEEN_CHECKPOINTS", 0)
    settings = {"seg": {"epochs": 4, "start": "random", "lr": 1e-2}}
    whole = dataset.trainer(nnUNetTrainerLWISeg, **settings)
    expected = train(whole)
    cut = dataset.trainer(nnUNetTrainerLWISeg, **settings)
    on_epoch_start = cut.on_epoch_start

    def stop():
        if cut.current_epoch == 2:
            raise KeyboardInterrupt
        on_epoch_start()

    monkeypatch.setattr(cut, "on_epoch_start", stop)
    with pytest.raises(KeyboardInterrupt):
        cut.run_training()
    resumed = dataset.trainer(nnUNetTrainerLWISeg, **settings)
    resumed.load_checkpoint(str(dataset.output_folder("nnUNetTrainerLWISeg") / "checkpoint_latest.pth"))
    actual = train(resumed)
    assert all(torch.equal(actual[key], expected[key]) for key in expected)
    for key in ("train_losses", "val_losses", "mean_fg_dice", "ema_fg_dice", "dice_per_class_or_region"):
        assert resumed.logger.get_value(key, None) == whole.logger.get_value(key, None), key
    assert resumed._best_ema == whole._best_ema
    assert {type(dice) for dice in whole.logger.get_value("ema_fg_dice", None)} == {float}, "resumed runs read floats"
    assert "it started from: random" in log_of(resumed)


def test_the_checkpoint_is_plain(dataset, step1):
    dataset.trainer(nnUNetTrainerLWISeg).run_training()
    content = torch.load(dataset.output_folder("nnUNetTrainerLWISeg") / "checkpoint_final.pth", weights_only=True)
    assert content["lwi"]["start"]["kind"] == "step1" and content["lwi"]["start"]["path"] == str(step1)
    assert content["trainer_name"] == "nnUNetTrainerLWISeg" and content["inference_allowed_mirroring_axes"] == (0, 1, 2)


def test_a_network_that_cannot_run_on_shapes_is_tried_for_real(dataset):
    architecture = dataset.plans["configurations"]["3d_fullres"]["architecture"]
    architecture["network_class_name"] = "tests.networks_for_tests.ReadsValues"
    dataset.trainer(nnUNetTrainerLWISeg)
    architecture["arch_kwargs"]["strides"] = [[1, 1, 1], [2, 2, 2], [3, 3, 3]]
    with pytest.raises(UserError, match="does not accept a batch"):
        dataset.trainer(nnUNetTrainerLWISeg)


def test_two_stage_networks_have_a_loss(dataset):
    """nnU-Net's weights for a single output are 0/0."""
    dataset.plans["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"] = unet_kwargs([[1, 1, 1], [2, 2, 2]])
    trainer = dataset.trainer(nnUNetTrainerLWISeg, seg={"epochs": 1, "start": "random"})
    train(trainer)
    assert trainer.loss.weight_factors == (1.0,)


def test_gradient_clipping_can_be_switched_off(dataset, monkeypatch):
    calls = []
    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", lambda parameters, norm: calls.append(norm))
    train(dataset.trainer(nnUNetTrainerLWISeg, seg={"epochs": 1, "start": "random", "gradient_clip": None}))
    assert calls == []
    train(dataset.trainer(nnUNetTrainerLWISeg, seg={"epochs": 1, "start": "random", "gradient_clip": 3}))
    assert calls == [3, 3]


def test_a_network_names_the_weights_of_its_outputs(dataset):
    """UNETR++ has three outputs, each with a weight; nnU-Net's would give the last one none."""
    small = SMALL["unetr_pp"]
    configuration = dataset.plans["configurations"]["3d_fullres"]
    configuration["patch_size"] = small.patch_size
    configuration["architecture"] = {
        "network_class_name": "nnunetv2_lwi.networks.UNETRPlusPlus",
        "arch_kwargs": small.arch_kwargs,
        "_kw_requires_import": [],
    }
    trainer = dataset.trainer(nnUNetTrainerLWISeg, seg={"epochs": 1, "start": "random"})
    trainer.initialize()
    assert trainer.loss.weight_factors == pytest.approx((4 / 7, 2 / 7, 1 / 7))


class Mirrored(Exception):
    """In the place of a prediction: the axes that it would mirror."""


def test_a_validation_alone_mirrors_as_the_training_s_own(dataset, monkeypatch):
    """``--val`` makes no loaders, which is when nnU-Net decides which axes may be mirrored."""

    def tell(predictor, *arguments):
        raise Mirrored(predictor.use_mirroring, arguments[-1])

    monkeypatch.setattr(nnUNetPredictor, "manual_initialization", tell)
    trained = dataset.trainer(nnUNetTrainerLWISeg, seg={"epochs": 1, "start": "random"})
    trained.run_training()
    again = dataset.trainer(nnUNetTrainerLWISeg, seg={"epochs": 1, "start": "random"})
    again.load_checkpoint(str(Path(trained.output_folder) / "checkpoint_final.pth"))
    for trainer in (trained, again):
        with pytest.raises(Mirrored) as told:
            trainer.perform_actual_validation()
        assert told.value.args == (True, (0, 1, 2))


@pytest.mark.parametrize("clip", [0.1, None])
def test_scaled_gradients_are_clipped_by_their_own_norm(dataset, clip):
    """A scaler's gradients are 65,536 times too large: clipped so, next to nothing would be left of them."""
    weights = []
    for scaler in (None, torch.amp.GradScaler("cpu", init_scale=2.0**16)):
        trainer = dataset.trainer(nnUNetTrainerLWISeg, seg={"epochs": 1, "start": "random", "gradient_clip": clip})
        trainer.initialize()
        trainer.grad_scaler = scaler
        loss = sum((parameter * 3).sum() for parameter in trainer.network.parameters())
        trainer.optimize(loss)
        weights.append(torch.cat([parameter.detach().flatten() for parameter in trainer.network.parameters()]))
    assert torch.allclose(*weights, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("preprocessed", [True, False])
def test_a_next_stage_without_data_is_left_out_with_a_line(dataset, monkeypatch, preprocessed):
    """3d_lowres alone: nnU-Net would wait for ever in its final validation, or write files that nobody can use."""
    configurations = dataset.plans["configurations"]
    configurations["3d_fullres"]["next_stage"] = "next"
    configurations["next"] = {
        "inherits_from": "3d_fullres",
        "next_stage": None,
        "previous_stage": "3d_fullres",
        "data_identifier": "n",
    }
    if preprocessed:
        (dataset.preprocessed / NAME / "n").mkdir()
        (dataset.preprocessed / NAME / "n" / "case_0.b2nd").touch()
    trainer = dataset.trainer(nnUNetTrainerLWISeg, seg={"epochs": 1, "start": "random"})
    trainer.initialize()
    seen = []
    monkeypatch.setattr(
        nnUNetTrainer, "perform_actual_validation", lambda self, _: seen.append(self.configuration_manager.next_stage_names)
    )
    trainer.perform_actual_validation()
    assert seen == [["next"] if preprocessed else None]
    told = "no predictions for the next stage next, whose data are not preprocessed"
    assert (told in log_of(trainer)) != preprocessed
    assert trainer.configuration_manager.next_stage_names == ["next"], "as it was"
