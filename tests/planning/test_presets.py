"""The presets as files, and what they make of a plan."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import replace

import pytest

from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.networks.dry_run import run_on_shapes
from nnunetv2_lwi.nnunet.inheritance import resolve
from nnunetv2_lwi.planning.application import apply_preset
from nnunetv2_lwi.planning.configuration import resolve_configuration
from nnunetv2_lwi.planning.overrides import get_value
from nnunetv2_lwi.planning.presets import list_presets, load_preset
from nnunetv2_lwi.planning.settings import LWISettings, flatten
from nnunetv2_lwi.planning.spacing import spacing_problem
from tests.planning.built_presets import build, count_parameters
from tests.tiny_dataset import make_plans

PRESETS = {preset.name: preset for preset in list_presets()}
OWN_PATCH = [name for name, preset in PRESETS.items() if "patch_size" in preset.configuration]


@pytest.fixture
def plans() -> dict:
    """As nnU-Net writes them, without an lwi block."""
    plans = make_plans(channels=1, use_mask_for_norm=False)
    del plans["configurations"]["3d_fullres"]["lwi"]
    return plans


def apply(plans, name, **options):
    preset = load_preset(name)
    arguments = {"parent": preset.inherits_from, "new_plans_name": "New", "overrides": {}} | options
    return apply_preset(plans, preset, **arguments)


def test_there_is_a_preset_for_every_network_and_small_ones():
    assert {"unetr", "unetr_pp_synapse", "unetr_pp_lung", "swin_unetr", "primus_s", "primus_b", "primus_m"} < PRESETS.keys()
    assert {"unetr_small", "unetr_pp_small", "swin_unetr_small", "primus_small"} < PRESETS.keys()


@pytest.mark.parametrize("name", PRESETS)
def test_every_value_has_a_source_and_every_source_a_value(name):
    preset = PRESETS[name]
    assert flatten(preset.configuration).keys() | preset.from_plan.keys() == preset.sources.keys()
    assert all(isinstance(source, str) and source for source in preset.sources.values())
    assert preset.name == name and preset.title and preset.source


@pytest.mark.parametrize("name", PRESETS)
def test_settings_and_patch_are_allowed(name):
    configuration = PRESETS[name].configuration
    LWISettings.from_configuration(configuration)
    assert "lwi" in configuration and "init" in configuration["lwi"] and "seg" in configuration["lwi"]
    if name in OWN_PATCH:
        assert configuration["patch_size"] == configuration["architecture"]["arch_kwargs"]["patch_size"]


def test_the_papers_values_of_step_1_and_2():
    unetr, lung = (LWISettings.from_configuration(PRESETS[name].configuration) for name in ("unetr", "unetr_pp_lung"))
    assert (unetr.init.epochs, unetr.seg.epochs, lung.init.epochs, lung.seg.epochs) == (58, 360, 200, 1000)
    assert (unetr.seg.optimizer, unetr.seg.lr, unetr.seg.weight_decay, unetr.seg.schedule) == ("AdamW", 1e-4, 1e-5, "cosine")
    assert (lung.seg.optimizer, lung.seg.lr, lung.seg.schedule) == ("SGD", 1e-2, "poly")
    assert unetr.masking.ratio == lung.masking.ratio == 0.4
    assert unetr.masking.patch_size == lung.masking.patch_size == (16, 16, 16)


@pytest.mark.parametrize(
    ("name", "count"),
    [("unetr", 92_784_046), ("swin_unetr", 62_187_296), ("unetr_pp_synapse", 42_952_850), ("unetr_pp_lung", 121_174_798)],
)
def test_parameters_are_the_published_networks(plans, name, count):
    assert count_parameters(plans, name) == count


@pytest.mark.parametrize("name", PRESETS)
def test_every_network_is_built_and_maps_its_patch(plans, name):
    smaller = {"patch_size": [64, 64, 64]} if name == "swin_unetr" else {}
    network, patch = build(plans, name, 2, 3, **smaller)
    network.decoder.deep_supervision = False
    assert run_on_shapes(network, 2, patch).shape == (2, 3, *patch)


@pytest.mark.parametrize("name", PRESETS)
def test_blocks_are_written_whole_and_nothing_else_changes(plans, name):
    before = deepcopy(plans)
    overrides = {} if name in OWN_PATCH else {"patch_size": [16, 16, 16]}
    new = apply(plans, name, overrides=overrides)
    assert plans == before
    assert new["plans_name"] == "New"
    assert {key: new["configurations"][key] for key in before["configurations"]} == before["configurations"]
    added = new["configurations"][name]
    assert added["inherits_from"] == "3d_fullres"
    assert added["lwi"] == PRESETS[name].configuration["lwi"]
    assert resolve_configuration(new, name).configuration["architecture"] == added["architecture"]
    assert spacing_problem(new, name) is None
    assert json.loads(json.dumps(new)) == new


def test_data_get_a_name_of_their_own_only_where_the_spacing_changes(plans):
    small, full = apply(plans, "unetr_small"), apply(plans, "unetr")
    assert "data_identifier" not in small["configurations"]["unetr_small"]
    assert resolve(small, "unetr_small")["data_identifier"] == "nnUNetPlans_3d_fullres"
    assert full["configurations"]["unetr"]["data_identifier"] == "New_unetr"
    assert full["configurations"]["unetr"]["median_image_size_in_voxels"] == [12.0, 13.0, 12.0]
    del full["configurations"]["unetr"]["data_identifier"]
    assert spacing_problem(full, "unetr") is not None


def test_the_parents_spacing_can_be_kept(plans):
    kept = apply(plans, "unetr", overrides={"spacing": None})["configurations"]["unetr"]
    assert not {"spacing", "data_identifier"} & kept.keys()
    same = apply(plans, "unetr", overrides={"spacing": [2, 1, 1]})["configurations"]["unetr"]
    assert "data_identifier" not in same


def test_other_changes_of_the_data_rename_them_too(plans):
    new = apply(plans, "none", overrides={"normalization_schemes": ["CTNormalization"]})
    assert resolve(new, "3d_fullres")["data_identifier"] == "New_3d_fullres"


def test_the_networks_patch_follows(plans):
    new = apply(plans, "unetr_small", overrides={"patch_size": [32, 48, 48]})
    assert get_value(new["configurations"]["unetr_small"], "architecture.arch_kwargs.patch_size") == [32, 48, 48]
    with pytest.raises(UserError, match="must equal patch_size"):
        apply(plans, "unetr_small", overrides={"architecture.arch_kwargs.patch_size": [32, 48, 48]})


def test_primus_takes_patch_and_classes_from_plan_and_data_set(plans):
    arch_kwargs = "architecture.arch_kwargs"
    added = apply(plans, "primus_s", segmentation_heads=5)["configurations"]["primus_s"]
    assert get_value(added, f"{arch_kwargs}.patch_size") == plans["configurations"]["3d_fullres"]["patch_size"]
    assert get_value(added, f"{arch_kwargs}.decoder_classes") == 5
    assert "patch_size" not in added
    chosen = apply(plans, "primus_small", overrides={f"{arch_kwargs}.decoder_classes": 7}, segmentation_heads=5)
    assert get_value(chosen["configurations"]["primus_small"], f"{arch_kwargs}.decoder_classes") == 7


def test_none_puts_the_lwi_block_into_nnunets_own_configuration(plans):
    new = apply(plans, "none", overrides={"lwi.init.epochs": 5})
    added = new["configurations"]["3d_fullres"]
    assert added["lwi"]["init"]["epochs"] == 5
    assert {key: value for key, value in added.items() if key != "lwi"} == plans["configurations"]["3d_fullres"]
    assert added["lwi"]["order_weight"] is None and added["lwi"]["recipe"] == "measured"
    left_open = LWISettings.from_configuration({**added, "lwi": {"init": {"epochs": 5}}})
    assert replace(LWISettings.from_configuration(added), recipe=None) == left_open


def test_the_second_of_two_presets_and_a_child_of_the_cascades_first_stage(plans):
    first = apply(plans, "unetr_small")
    second = apply(first, "unetr_pp_small", new_plans_name="Both")
    assert {"unetr_small", "unetr_pp_small"} < second["configurations"].keys()
    with pytest.raises(UserError, match="is preset unetr_small already"):
        apply(first, "unetr_small", parent="unetr_small")
    plans["configurations"]["3d_lowres"] = plans["configurations"]["3d_fullres"] | {"next_stage": "3d_cascade_fullres"}
    child = apply(plans, "unetr_small", parent="3d_lowres")
    assert resolve_configuration(child, "unetr_small").next_stage_names is None


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("unet", r"Did you mean unetr\?.*Presets: .*primus_b.*none"),
        ("xyz", "There is no preset xyz. Presets"),
        ("no.json", "no preset file"),
    ],
)
def test_a_preset_that_does_not_exist_is_told(name, message):
    with pytest.raises(UserError, match=message):
        load_preset(name)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is no JSON"),
        ("[]", "must be a JSON object"),
        ('{"name": "a", "title": "b", "source": "c", "configuration": {}, "extra": 1}', "extra"),
        ('{"name": "a", "configuration": {}}', "source, title"),
    ],
)
def test_a_file_that_is_no_preset_is_told(tmp_path, content, message):
    path = tmp_path / "mine.json"
    path.write_text(content)
    with pytest.raises(UserError, match=message):
        load_preset(str(path))


def test_a_preset_of_ones_own(plans, tmp_path):
    preset = json.loads(json.dumps(PRESETS["unetr_pp_small"].__dict__)) | {"name": "mine", "sources": {}}
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(preset))
    assert apply(plans, str(path))["configurations"]["mine"]["inherits_from"] == "3d_fullres"
