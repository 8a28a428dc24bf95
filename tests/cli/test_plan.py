"""``plan``: small presets from the command line to a plan that trainers take, and every refusal."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from batchgenerators.utilities.file_and_folder_operations import load_json, save_json

from nnunetv2_lwi.cli.main import main
from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.nnunet.inheritance import resolve
from nnunetv2_lwi.planning import presets
from nnunetv2_lwi.planning.presets import list_presets
from nnunetv2_lwi.training.nnUNetTrainerLWIInit import nnUNetTrainerLWIInit
from nnunetv2_lwi.training.nnUNetTrainerLWISeg import nnUNetTrainerLWISeg
from tests.planning.built_presets import count_parameters
from tests.tiny_dataset import NAME, make_plans

DOCUMENTATION = Path(__file__).parents[2] / "docs" / "reference" / "networks.md"
OWN_NETWORK = Path(__file__).parents[2] / "docs" / "howto" / "own_network.md"
SMALL = [preset.name for preset in list_presets() if preset.name.endswith("_small")]


def plan(*arguments: str) -> None:
    main(["plan", "-d", "999", *arguments])


@pytest.fixture
def folder(dataset):
    return dataset.preprocessed / NAME


@pytest.mark.parametrize("name", SMALL)
def test_every_small_preset_is_planned_beside_nnunets_own(dataset, folder, name, capsys):
    before = (folder / "nnUNetPlans.json").read_bytes()
    plan("--preset", name, "--set", "lwi.init.epochs=50")
    assert (folder / "nnUNetPlans.json").read_bytes() == before
    plans = load_json(str(folder / f"nnUNetPlans_{name}.json"))
    assert plans["plans_name"] == f"nnUNetPlans_{name}"
    assert plans["configurations"][name]["lwi"]["init"]["epochs"] == 50
    assert not list(folder.glob("*.partial"))
    out = capsys.readouterr().out
    assert f"nnUNetv2_train {NAME} {name} 0 -p nnUNetPlans_{name} -tr nnUNetTrainerLWIInit" in out
    assert "nnUNetv2_preprocess" not in out
    assert "order_loss" in out and "reconstruction_loss" in out
    needed = re.search(r"GPU memory by estimate, .*: step 1 ([\d.]+) GiB, step 2 ([\d.]+) GiB\.", out)
    assert needed is not None and all(0 < float(gib) < 30 for gib in needed.groups())


def test_the_trainer_takes_the_new_plans(dataset, folder):
    plan("--preset", "unetr_pp_small", "-o", "Mine", "--set", "patch_size=[32,32,32]")
    plans = load_json(str(folder / "Mine.json")) | {"continue_training": False}
    trainer = nnUNetTrainerLWIInit(plans, "unetr_pp_small", 0, dataset.dataset_json, torch.device("cpu"))
    assert trainer.num_epochs == 200
    assert trainer.output_folder.endswith("nnUNetTrainerLWIInit__Mine__unetr_pp_small/fold_0")


def test_primus_gets_the_classes_of_the_data_set(folder):
    plan("--preset", "primus_small")
    plans = load_json(str(folder / "nnUNetPlans_primus_small.json"))
    assert plans["configurations"]["primus_small"]["architecture"]["arch_kwargs"]["decoder_classes"] == 3


def test_preprocessing_is_named_only_where_the_spacing_changes(folder, capsys):
    plan("--preset", "unetr_pp_small", "--set", "spacing=[1,1,1]", "-o", "Fine")
    assert "nnUNetv2_preprocess -d 999 -plans_name Fine -c unetr_pp_small" in capsys.readouterr().out
    configuration = load_json(str(folder / "Fine.json"))["configurations"]["unetr_pp_small"]
    assert configuration["data_identifier"] == "Fine_unetr_pp_small"


@pytest.mark.parametrize(("scans", "named"), [(2, True), (0, False)])
def test_scans_without_labels_are_to_be_preprocessed_too_where_the_data_change(make_dataset, capsys, scans, named):
    """Else step 1 would begin without them, and say nothing."""
    make_dataset(scans=scans)
    plan("--preset", "unetr_pp_small", "--set", "spacing=[1,1,1]", "-o", "Fine")
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    command = "nnUNetv2_lwi unlabelled -d 999 -p Fine -c unetr_pp_small"
    assert (command in lines) == named
    if named:
        assert lines.index(command) == lines.index("nnUNetv2_preprocess -d 999 -plans_name Fine -c unetr_pp_small") + 1
    plan("--preset", "none", "-o", "Same")
    assert "nnUNetv2_lwi unlabelled" not in capsys.readouterr().out


def test_null_is_written_where_it_means_something_and_else_leaves_the_parents_value(dataset, folder):
    dataset.plans["configurations"]["3d_fullres"]["next_stage"] = "3d_cascade_fullres"
    dataset.write_plans()
    plan("--preset", "none", "--set", "next_stage=null", "--set", "data_identifier=null", "-o", "Null")
    configuration = load_json(str(folder / "Null.json"))["configurations"]["3d_fullres"]
    assert configuration["next_stage"] is None and configuration["data_identifier"] == "nnUNetPlans_3d_fullres"


def test_a_baseline_can_name_the_data_of_the_plans_that_it_is_compared_with(folder):
    """As plans of earlier versions have it; --baseline does the same."""
    spacing = ("--preset", "unetr_pp_small", "--set", "spacing=[1,1,1]")
    plan(*spacing)
    own = "nnUNetPlans_unetr_pp_small_unetr_pp_small"
    plan(*spacing, "-o", "nnUNetPlans_random", "--set", "lwi.seg.start=random", "--set", f"data_identifier={own}")
    learned, random = (
        load_json(str(folder / f"nnUNetPlans_{name}.json"))["configurations"]["unetr_pp_small"]
        for name in ("unetr_pp_small", "random")
    )
    assert learned["data_identifier"] == random["data_identifier"] == own
    assert learned | {"lwi": None} == random | {"lwi": None}
    assert random["lwi"]["seg"] == learned["lwi"]["seg"] | {"start": "random"}


@pytest.mark.parametrize(
    "words", [["--preset", "unetr_pp_small", "--set", "spacing=[1,1,1]"], ["--set", "lwi.init.epochs=7"]]
)
def test_the_baseline_is_the_same_training_from_a_random_start_on_the_same_data(folder, capsys, words):
    plan(*words, "-o", "Mine", "--baseline")
    learned, random = (load_json(str(folder / f"{name}.json")) for name in ("Mine", "Mine_random"))
    name = "unetr_pp_small" if "--preset" in words else "3d_fullres"
    assert random["plans_name"] == "Mine_random"
    of_both = [plans["configurations"][name] for plans in (learned, random)]
    assert of_both[1]["data_identifier"] == ("Mine_unetr_pp_small" if "--preset" in words else "nnUNetPlans_3d_fullres")
    assert resolve(learned, name) | {"lwi": None} == resolve(random, name) | {"lwi": None}
    assert of_both[1]["lwi"] == of_both[0]["lwi"] | {"seg": of_both[0]["lwi"].get("seg", {}) | {"start": "random"}}
    following, baseline = capsys.readouterr().out.partition("Next:")[2].split("Baseline:")
    assert f"-p Mine -tr {nnUNetTrainerLWIInit.__name__}" in following and "-p Mine_random" not in following
    assert baseline.split() == f"nnUNetv2_train {NAME} {name} 0 -p Mine_random -tr {nnUNetTrainerLWISeg.__name__}".split()


def test_a_block_that_is_none_is_told_with_a_baseline_too(folder):
    before = sorted(folder.iterdir())
    for more in ([], ["--baseline"]):
        with pytest.raises(UserError):
            plan("--set", "lwi.seg=null", *more, "-o", "Mine")
    assert sorted(folder.iterdir()) == before


def test_a_baseline_has_no_step_1_to_run_next_and_no_baseline(folder, capsys):
    plan("--set", "lwi.seg.start=random", "-o", "Mine")
    out = capsys.readouterr().out
    assert "-tr nnUNetTrainerLWISeg" in out and "nnUNetTrainerLWIInit" not in out.partition("Next:")[2]
    before = sorted(folder.iterdir())
    with pytest.raises(UserError, match="--baseline: these plans start random themselves"):
        plan("--set", "lwi.seg.start=random", "-o", "Other", "--baseline")
    plan("--set", "lwi.init.epochs=7", "-o", "Other_random")
    with pytest.raises(UserError, match=r"Other_random\.json exists: append --overwrite"):
        plan("-o", "Other", "--baseline")
    assert {path.name for path in folder.iterdir()} - {path.name for path in before} == {"Other_random.json"}


def test_data_of_another_spacing_cannot_be_borrowed(folder):
    before = sorted(folder.iterdir())
    with pytest.raises(UserError, match=r"names data whose spacing is .*\[2\.0, 1\.0, 1\.0\] \(3d_fullres\)"):
        plan("--preset", "none", "--set", "spacing=[1,1,1]", "--set", "data_identifier=nnUNetPlans_3d_fullres")
    assert sorted(folder.iterdir()) == before


def test_none_adds_only_the_lwi_block(dataset, folder, capsys):
    plan("--preset", "none", "--set", "lwi.seg.start=random")
    plans = load_json(str(folder / "nnUNetPlans_lwi.json"))
    configuration = plans["configurations"]["3d_fullres"]
    assert configuration["lwi"]["seg"]["start"] == "random"
    assert configuration["architecture"] == dataset.plans["configurations"]["3d_fullres"]["architecture"]
    assert f"nnUNetv2_train {NAME} 3d_fullres 0 -p nnUNetPlans_lwi" in capsys.readouterr().out


def test_existing_plans_are_kept_unless_told_otherwise(folder):
    plan("--preset", "none", "-o", "Mine")
    written = (folder / "Mine.json").read_bytes()
    with pytest.raises(UserError, match=r"Mine\.json exists: append --overwrite"):
        plan("--preset", "none", "-o", "Mine", "--set", "lwi.init.epochs=3")
    assert (folder / "Mine.json").read_bytes() == written
    plan("--preset", "none", "-o", "Mine", "--set", "lwi.init.epochs=3", "--overwrite")
    assert load_json(str(folder / "Mine.json"))["configurations"]["3d_fullres"]["lwi"]["init"]["epochs"] == 3


@pytest.mark.parametrize(
    ("name", "message"),
    [("nnUNetPlans", "would overwrite the plans that it starts from"), ("Other", "was not written by nnUNetv2_lwi plan")],
)
def test_plans_that_are_not_ours_are_never_overwritten(dataset, folder, name, message):
    save_json(dataset.plans | {"plans_name": "Other"}, str(folder / "Other.json"))
    before = (folder / f"{name}.json").read_bytes()
    with pytest.raises(UserError, match=message):
        plan("--preset", "none", "-o", name, "--overwrite")
    assert (folder / f"{name}.json").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--preset", "unetr_smal"], r"There is no preset unetr_smal\. Did you mean unetr_small\?"),
        (["--preset", "none", "--set", "lwi.init.epoch=5"], r"lwi\.init\.epoch: .* Did you mean lwi\.init\.epochs\?"),
        (["--preset", "none", "--set", "lwi.init.epochs=0"], r"lwi\.init\.epochs = 0 in the plan is not allowed"),
        (
            ["--preset", "none", "--set", "lwi.num_subvolumes=3", "--set", "lwi.order_weight=1"],
            r"lwi\.num_subvolumes = 3 in the plan is not allowed",
        ),
        (["--preset", "unetr_small", "--set", "patch_size=[40,40,40]"], r"nearest size that works is \[48, 48, 48\]"),
        (["--preset", "swin_unetr_small", "--set", "patch_size=[32,64,64]"], "must be at least 2"),
        (["--preset", "primus_small", "--set", "architecture.arch_kwargs.embed_dim=200"], "embed_dim must be a multiple"),
        (["--preset", "unetr_small", "--set", "architecture.arch_kwargs.num_heads=two"], "UNETR cannot be built"),
        (["--preset", "none", "--set", "architecture.network_class_name=no.such.Net"], "no.such.Net does not exist"),
        (["--preset", "none", "-p", "Missing"], r"Missing\.json: run nnUNetv2_plan_and_preprocess"),
        (["--preset", "none", "-c", "3d_lowres"], "have no configuration 3d_lowres"),
        (["--preset", "none", "-c", "2d"], "2d is 2D"),
        (["--preset", "none", "-o", "a__b"], "without '__'"),
        (["--preset", "none", "-d", "997"], "Data set 997"),
    ],
)
def test_mistakes_are_one_line_and_write_nothing(folder, arguments, message):
    with pytest.raises(UserError, match=message) as error:
        plan(*arguments)
    assert "\n" not in error.value.message
    assert sorted(path.name for path in folder.glob("*.json*")) == [
        "dataset.json",
        "dataset_fingerprint.json",
        "nnUNetPlans.json",
    ]


def test_a_missing_package_is_named(folder, monkeypatch):
    monkeypatch.setattr(presets, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"unetr_small needs monai: pip install 'nnunetv2_lwi\[hybrids\]'"):
        plan("--preset", "unetr_small")


def test_list_is_a_table_of_what_the_presets_set(capsys, monkeypatch):
    monkeypatch.setattr(presets, "preset_names", lambda: ["primus_s", "unetr_pp_synapse"])
    main(["plan", "--list"])
    out = capsys.readouterr().out
    assert "the plan's" in out and "arXiv 2503.01835" in out
    line = next(line for line in out.splitlines() if line.startswith("unetr_pp_synapse"))
    for cell in ("UNETRPlusPlus", "64x128x128", "3.0x0.76x0.76", "  2  ", "SGD 0.0001 / SGD 0.01"):
        assert cell in line


def test_list_without_the_extra_says_what_a_preset_needs(capsys, monkeypatch):
    monkeypatch.setattr(presets, "find_spec", lambda name: None)
    monkeypatch.setattr(presets, "preset_names", lambda: ["unetr"])
    main(["plan", "--list"])
    assert "needs monai" in capsys.readouterr().out


def test_list_builds_no_network_and_prints_nothing_else():
    """In a process of its own, without torch: it is answered at once, whatever libraries would warn of."""
    code = (
        "import sys; from nnunetv2_lwi.cli.main import main; main(['plan', '--list']); "
        "assert not {'torch', 'nnunetv2', 'monai'} & sys.modules.keys()"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0 and result.stderr == "" and result.stdout.startswith("preset")


def test_a_preset_file_of_ones_own_is_planned(folder, tmp_path):
    configuration = {
        "architecture": json.loads(json.dumps(presets.load_preset("primus_small").configuration["architecture"]))
    }
    configuration["architecture"]["arch_kwargs"] |= {"patch_size": [8, 16, 16], "patch_embed_size": [4, 8, 8]}
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"name": "mine", "title": "t", "source": "s", "configuration": configuration}))
    plan("--preset", str(path))
    assert "mine" in load_json(str(folder / "nnUNetPlans_mine.json"))["configurations"]


@pytest.fixture
def documented_network(tmp_path, monkeypatch):
    """The page's wrapper around MONAI's SegResNet as an importable module, and its preset file."""
    text = OWN_NETWORK.read_text(encoding="utf-8")
    for language, name in (("python", "my_network.py"), ("json", "segresnet.json")):
        (block,) = re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)
        (tmp_path / name).write_text(block)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path / "segresnet.json"


def test_a_network_that_this_project_did_not_write_goes_the_whole_way(dataset, folder, documented_network):
    short = {f"lwi.{step}.epochs": 1 for step in ("init", "seg")}
    short |= {"lwi.iterations_per_epoch": 2, "lwi.val_iterations_per_epoch": 1, "patch_size": [16, 16, 16]}
    settings = [text for key, value in short.items() for text in ("--set", f"{key}={json.dumps(value)}")]
    plan("--preset", str(documented_network), "-o", "Mine", *settings)
    for cls in (nnUNetTrainerLWIInit, nnUNetTrainerLWISeg):
        plans = load_json(str(folder / "Mine.json")) | {"continue_training": False}
        trainer = cls(plans, "segresnet", 0, dataset.dataset_json, torch.device("cpu"))
        trainer.run_training()
    log = Path(trainer.log_file).read_text()
    assert "2 stay random, being output layers: decoder.seg_layers.0" in log
    assert (Path(trainer.output_folder) / "checkpoint_final.pth").is_file()


def test_the_documented_network_is_monais(documented_network):
    from monai.networks import nets
    from my_network import SegResNet

    torch.manual_seed(0)
    original = nets.SegResNet(init_filters=8, in_channels=1, out_channels=3)
    torch.manual_seed(0)
    network = SegResNet(1, 3)
    x = torch.randn(1, 1, 16, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(network(x), original(x))


def test_the_table_of_the_documentation_is_up_to_date():
    text = DOCUMENTATION.read_text(encoding="utf-8")
    for preset in list_presets():
        name = preset.name if preset.name in ("primus_s", "primus_small") else preset.name.replace("primus", "")
        assert f"`{name}`" in text and f"{count_parameters(make_plans(), preset.name):,}" in text
