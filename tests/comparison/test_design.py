"""Which trainings a comparison consists of."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nnunetv2_lwi.comparison.design import names_of, trainings_of
from nnunetv2_lwi.comparison.subsets import draw_subset
from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.planning.settings import LWISettings, as_json, flatten
from tests.comparison.conftest import EPOCHS


def epochs(run):
    settings = run.training.settings
    return (settings.init.epochs if run.training.after else 0, settings.seg.epochs)


def test_one_run_for_every_arm_count_and_seed(make_design):
    runs = make_design().runs()
    assert [(r.arm, r.cases, r.seed) for r in runs[:4]] == [
        ("random", 2, 0),
        ("lwi", 2, 0),
        ("lwi_all", 2, 0),
        ("random", 4, 0),
    ]
    assert len(runs) == 3 * 2 * 2


@pytest.mark.parametrize(
    ("budget", "share", "expected"),
    [("equal", None, (4, 21)), ("equal", 0.5, (12, 13)), ("added", None, (7, 25)), ("added", 0.5, (12, 25))],
)
def test_the_budget_is_shared_or_added_to(make_design, budget, share, expected):
    design = make_design(counts=(2,), seeds=1, budget=budget, share=share)
    design.configuration["lwi"]["init"]["epochs"] = 7
    random, lwi, _ = design.runs()
    assert epochs(random) == (0, EPOCHS)
    assert epochs(lwi) == expected


@pytest.mark.parametrize(("share", "step1"), [(None, 7), (0.5, 12)])
def test_a_longer_random_start_has_the_epochs_of_both_steps(make_design, share, step1):
    design = make_design("random,random_longer,lwi,lwi_all", counts=(2,), seeds=1, budget="added", share=share)
    design.configuration["lwi"]["init"]["epochs"] = 7
    random, longer, *learned = design.runs()
    assert epochs(random) == (0, EPOCHS) and epochs(longer) == (0, EPOCHS + step1)
    assert all(sum(epochs(run)) == sum(epochs(longer)) for run in learned)
    assert [run.baseline for run in (longer, *learned)] == ["random"] * 3
    assert [run.longer for run in (random, longer, *learned)] == [None, None, "random_longer", "random_longer"]


def test_a_swept_length_of_step1_has_a_longer_random_start_of_its_own(make_design):
    variants = [{"init.epochs": length, "masking.ratio": 0.3} for length in (1, 10)]
    runs = make_design("random,random_longer,lwi", counts=(2,), seeds=1, budget="added", variants=variants).runs()
    assert [(run.label, sum(epochs(run)), run.longer) for run in runs] == [
        ("random", 25, None),
        ("random_longer init.epochs=1", 26, None),
        ("lwi init.epochs=1 masking.ratio=0.3", 26, "random_longer init.epochs=1"),
        ("random_longer init.epochs=10", 35, None),
        ("lwi init.epochs=10 masking.ratio=0.3", 35, "random_longer init.epochs=10"),
    ]


def test_a_longer_random_start_as_the_baseline_is_no_second_reference(make_design):
    runs = make_design("random_longer,lwi", counts=(2,), seeds=1, budget="added").runs()
    assert [(run.baseline, run.longer) for run in runs] == [("random_longer", None)] * 2


def test_with_an_equal_budget_no_random_start_is_longer(make_design):
    with pytest.raises(UserError, match="random_longer: at --budget equal random has as many epochs already"):
        make_design("random,random_longer").runs()


def test_every_arm_trains_and_validates_on_the_same_cases(make_design):
    design = make_design()
    for run in design.runs():
        assert run.training.train_cases == draw_subset(design.pool, run.cases, run.seed)
        assert run.training.val_cases == design.val_cases
        assert not set(run.training.val_cases) & set(run.training.after.train_cases if run.training.after else ())


def test_step1_sees_the_labelled_or_all_images(make_design):
    design = make_design(counts=(2,), seeds=1)
    _, lwi, lwi_all = design.runs()
    assert lwi.training.after.train_cases == lwi.training.train_cases
    assert lwi_all.training.after.train_cases == sorted(design.pool)


def test_both_steps_have_the_same_settings_so_that_the_hand_over_accepts_them(make_design):
    for training in trainings_of(make_design("lwi,mask,tube,order_all").runs()):
        if training.after:
            assert training.after.settings.step1() == training.settings.step1()


def test_arms_differ_from_the_baseline_only_in_what_they_are_about(make_design):
    base = flatten(as_json(LWISettings.from_configuration(make_design().configuration)))
    for run in make_design("random,lwi,mask,kaiming_normal", counts=(2,), seeds=1).runs():
        changed = {k for k, v in flatten(run.training.configuration["lwi"]).items() if v != base[k]} - {"seed"}
        allowed = {
            "random": {"seg.start"},
            "lwi": {"init.epochs", "seg.epochs"},
            "mask": {"init.epochs", "seg.epochs", "order_weight"},
            "kaiming_normal": {"seg.start", "seg.initialization"},
        }
        assert changed == allowed[run.arm], run.arm


def test_equal_trainings_are_run_once(make_design):
    runs = make_design(counts=(2, 4), seeds=1).runs()
    trainings = trainings_of(runs)
    steps1 = [training for training in trainings if training.is_step1]
    assert len(steps1) == 2, "lwi on 2, and lwi_all on 4, which is also lwi on 4"
    assert len(trainings) == 2 + 5
    seen = set()
    for training in trainings:
        assert training.after is None or training.after.key in seen, "step 1 comes first"
        seen.add(training.key)
    assert names_of(runs)[runs[1].training.after.key] == "step 1 of lwi, 2 cases, seed 0"


def test_a_sweep_of_step1_repeats_no_baseline(make_design):
    variants = [{"masking.ratio": ratio} for ratio in (0.2, 0.4)]
    runs = make_design("random,lwi", counts=(2,), seeds=1, variants=variants).runs()
    assert [run.label for run in runs] == ["random", "lwi masking.ratio=0.2", "lwi masking.ratio=0.4"]


@pytest.mark.parametrize(
    ("arms", "key", "expected"),
    [
        (
            "random,lwi",
            "masking.ratio",
            {"random": "random", "lwi masking.ratio=0.1": "random", "lwi masking.ratio=0.2": "random"},
        ),
        (
            "random,lwi",
            "seg.lr",
            {
                "random seg.lr=0.1": "random seg.lr=0.1",
                "lwi seg.lr=0.1": "random seg.lr=0.1",
                "random seg.lr=0.2": "random seg.lr=0.2",
                "lwi seg.lr=0.2": "random seg.lr=0.2",
            },
        ),
        ("lwi", "masking.ratio", dict.fromkeys(["lwi masking.ratio=0.1", "lwi masking.ratio=0.2"], "lwi masking.ratio=0.1")),
        (
            "order,random,mask",
            "masking.ratio",
            dict.fromkeys(["order", "random", "mask masking.ratio=0.1", "mask masking.ratio=0.2"], "order"),
        ),
    ],
)
def test_the_baseline_is_the_first_arm_with_the_same_settings_of_step2(make_design, arms, key, expected):
    runs = make_design(arms, counts=(2,), seeds=1, variants=[{key: 0.1}, {key: 0.2}]).runs()
    assert {run.label: run.baseline for run in runs} == expected


def test_an_arm_is_not_named_after_what_it_sets_itself(make_design):
    variants = [{"masking.strategy": strategy} for strategy in ("random", "tube")]
    runs = make_design("lwi,tube", counts=(2,), seeds=1, variants=variants).runs()
    assert [run.label for run in runs] == ['lwi masking.strategy="random"', "tube", 'lwi masking.strategy="tube"']


def test_a_swept_length_of_step1_keeps_the_budget(make_design):
    runs = make_design("random,lwi", counts=(2,), seeds=1, variants=[{"init.epochs": 10}, {"init.epochs": 1}]).runs()
    assert [epochs(run) for run in runs] == [(0, 25), (10, 15), (1, 24)]


def test_step1_must_leave_something_to_step2(make_design):
    with pytest.raises(UserError, match="leave none to step 2"):
        make_design("random,lwi", variants=[{"init.epochs": EPOCHS}]).runs()


def test_the_key_tells_trainings_apart(make_design, tmp_path):
    weights = tmp_path / "weights.pth"
    weights.write_bytes(b"one")
    keys = [run.training.key for run in make_design(f"random,lwi,lwi_all,pretrained:{weights}").runs()]
    assert len(set(keys)) == len(keys) - 2, "lwi on all cases is lwi_all, for each seed"
    weights.write_bytes(b"other")
    changed = [run.training.key for run in make_design(f"random,lwi,lwi_all,pretrained:{weights}").runs()]
    assert [a == b for a, b in zip(keys, changed, strict=True)] == [True, True, True, False] * 4


@pytest.mark.parametrize(
    ("of_plan", "swept", "handed_over"),
    [
        (None, {}, "network"),
        ("encoder", {}, "encoder"),
        (None, {"seg.hand_over": "all_but_last_stage"}, "all_but_last_stage"),
    ],
)
def test_weights_of_others_come_whole_unless_somebody_says_otherwise(make_design, tmp_path, of_plan, swept, handed_over):
    weights = tmp_path / "weights.pth"
    weights.write_bytes(b"one")
    design = make_design(f"lwi,pretrained:{weights}", counts=(2,), seeds=1, variants=[swept])
    design.configuration["lwi"]["seg"]["hand_over"] = of_plan
    lwi, pretrained = (run.training.configuration["lwi"]["seg"]["hand_over"] for run in design.runs())
    assert pretrained == handed_over
    assert lwi == (swept.get("seg.hand_over") or "encoder")


def test_the_key_tells_data_apart(make_design):
    design = make_design("lwi", counts=(2,), seeds=1)

    def keys(changed):
        (run,) = changed.runs()
        return run.training.after.key, run.training.key

    before, fingerprint = keys(design), design.fingerprint
    assert keys(design) == before
    for names in (
        {"dataset": "Dataset002_Other"},
        {"configuration_name": "unetr_small"},
        {"plans": {"plans_name": "other"}},
    ):
        other = keys(replace(design, fingerprint=replace(fingerprint, names=fingerprint.names | names)))
        assert other[0] != before[0] and other[1] != before[1]
    (validated,) = design.val_cases

    def relabelled(changed):
        return replace(fingerprint, labels=lambda case: "other" if case == changed else fingerprint.labels(case))

    after = keys(replace(design, fingerprint=relabelled(validated)))
    assert after[0] == before[0] and after[1] != before[1], "step 1 sees no labels"
    scanned_again = keys(replace(design, fingerprint=replace(fingerprint, images={**fingerprint.images, validated: 1})))
    assert scanned_again[0] != before[0]
    unseen = next(case for case in design.pool if case not in design.runs()[0].training.train_cases)
    elsewhere = replace(relabelled(unseen), images={**fingerprint.images, unseen: 1})
    assert keys(replace(design, fingerprint=elsewhere)) == before
    assert keys(replace(design, val_cases=[unseen])) != before
    step2 = replace(design.runs()[0].training, val_cases=[], data={})
    assert step2.key != replace(step2, val_cases=[unseen]).key


SCANS = {"scan_1": 100, "scan_2": 120}


def with_scans(make_design, **more):
    design = make_design(arms="random,lwi,lwi_unlabelled,lwi_all", counts=(2,), seeds=1)
    return replace(design, scans=SCANS, **more)


def test_scans_without_labels_are_for_the_arms_that_are_named_so(make_design):
    random, lwi, unlabelled, every = with_scans(make_design).runs()
    assert dict(unlabelled.training.after.scans) == SCANS
    assert not random.training.scans and not lwi.training.after.scans and not every.training.after.scans
    assert unlabelled.training.after.train_cases == lwi.training.after.train_cases == unlabelled.training.train_cases
    assert unlabelled.training.after.key != lwi.training.after.key
    assert f"step 1 of lwi_unlabelled, {2 + len(SCANS)} cases" in names_of([unlabelled])[unlabelled.training.after.key]


def test_an_arm_that_sees_scans_does_so_whatever_the_plan_says(make_design):
    design = with_scans(make_design)
    design.configuration["lwi"].setdefault("init", {})["unlabelled"] = False
    _, lwi, unlabelled, _ = design.runs()
    assert lwi.training.after.settings.init.unlabelled is None is unlabelled.training.after.settings.init.unlabelled
    design.configuration["lwi"]["init"]["unlabelled"] = 0.5
    assert design.runs()[2].training.after.settings.init.unlabelled == 0.5


def test_the_rest_of_the_fold_counts_as_scans_where_that_is_asked_for(make_design):
    _, lwi, unlabelled, every = with_scans(make_design, rest_unlabelled=True).runs()
    assert unlabelled.training.after.train_cases == every.training.after.train_cases != lwi.training.after.train_cases
    assert unlabelled.training.train_cases == lwi.training.train_cases


def test_without_any_scans_the_rest_of_the_fold_is_all_that_such_an_arm_adds(make_design):
    """What the plan says of scans would stop step 1, or be told in its key and change nothing."""
    design = make_design(arms="lwi_unlabelled", counts=(2,), seeds=1, rest_unlabelled=True)
    expected = design.runs()[0].training.after
    for said in (True, 0.5, False):
        design.configuration["lwi"].setdefault("init", {})["unlabelled"] = said
        (run,) = design.runs()
        assert run.training.after.settings.init.unlabelled is None and run.training.after.key == expected.key


def test_a_share_of_labelled_images_is_refused_where_the_rest_of_the_fold_would_count_as_such(make_design):
    design = with_scans(make_design, rest_unlabelled=True)
    design.configuration["lwi"].setdefault("init", {})["labelled_share"] = 0.3
    with pytest.raises(UserError, match=r"labelled_share would count the rest of the fold as labelled\. Set it to null"):
        design.runs()
    assert replace(design, rest_unlabelled=False).runs()[2].training.after.settings.init.labelled_share == 0.3


def test_other_scans_make_another_training_and_without_any_the_key_stays(make_design):
    design = with_scans(make_design)
    keys = [run.training.key for run in design.runs()]
    more = [run.training.key for run in replace(design, scans={**SCANS, "scan_3": 1}).runs()]
    assert [one == other for one, other in zip(keys, more, strict=True)] == [True, True, False, True]


def test_shares_of_the_scans_are_trainings_of_their_own(make_design):
    design = with_scans(make_design, variants=[{"init.unlabelled": 0.5}, {"init.unlabelled": True}])
    keys = {run.training.after.key for run in design.runs() if run.arm == "lwi_unlabelled"}
    assert len(keys) == 2
