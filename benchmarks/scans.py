"""Scans without labels: what many of them cost step 1, and how fast they are preprocessed beside nnU-Net's own cases."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from itertools import count, cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from nnunetv2.training.dataloading.data_loader import nnUNetDataLoader
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager
from nnunetv2.utilities.utils import get_filenames_of_train_images_and_targets

from benchmarks.datasets import LARGE, SMALL, PhantomDataset
from benchmarks.loading import one_thread, training_loader
from benchmarks.measure import Comparison, Findings, compare
from benchmarks.plans import Plan, own_plan
from benchmarks.trainers import make_trainer
from nnunetv2_lwi.handover.record import record_of
from nnunetv2_lwi.nnunet.contents import Content
from nnunetv2_lwi.nnunet.split_file import Cases
from nnunetv2_lwi.planning.settings import InitSettings
from nnunetv2_lwi.training.nnUNetTrainerLWIInit import nnUNetTrainerLWIInit
from nnunetv2_lwi.unlabelled.folder import CASE_ENDINGS, Entry, UnlabelledFolder
from nnunetv2_lwi.unlabelled.preparation import made_for
from nnunetv2_lwi.unlabelled.preprocessing import Preparation, preprocess_scan
from nnunetv2_lwi.unlabelled.raw_scans import RawScan

FEW, MANY, LISTED = 10, 1000, 10_000
CALLS = 50
"""Batches a round."""
SLOWER = 1.05
"""What timings scatter by."""


def compare_scans(device: torch.device) -> Findings:
    """On the CPU whatever the device."""
    with one_thread():
        return Findings(
            [
                compare_batches(own_plan(SMALL), FEW, MANY),
                compare_start(own_plan(SMALL), LISTED),
                compare_preprocessing(own_plan(LARGE), LARGE),
            ]
        )


def compare_batches(plan: Plan, few: int, many: int) -> Comparison:
    """Time of a batch of step 1's loader with a few scans and with many."""
    with listed_scans(plan, many):
        all_of_them, some = (loader_of(plan, share) for share in (None, few / many))
        candidate, baseline = (f"{many} scans", lambda: next(all_of_them)), (f"{few} scans", lambda: next(some))
        name = f"batch of step 1's loader, one process, {plan}"
        return compare(name, candidate, baseline, calls=CALLS, goal=SLOWER)


def loader_of(plan: Plan, share: float | None) -> nnUNetDataLoader:
    """Step 1's, with a share of the scans that are listed."""
    plans = deepcopy(plan.plans)
    plans["configurations"][plan.configuration]["lwi"]["init"]["unlabelled"] = share
    return training_loader(make_trainer(nnUNetTrainerLWIInit, replace(plan, plans=plans), torch.device("cpu")))


def compare_start(plan: Plan, listed: int) -> Comparison:
    """Time of finding out which run this is, with scans listed and without."""
    folder = Path(os.environ["nnUNet_preprocessed"]) / plan.plans["dataset_name"] / plan.resolved["data_identifier"]
    names = nnUNetDatasetBlosc2.get_identifiers(str(folder))
    cases = Cases(names[1:], names[:1])

    def record(unlabelled: bool | None) -> Any:
        return record_of(plan.plans, plan.resolved, cases, None, InitSettings(unlabelled=unlabelled))

    with listed_scans(plan, listed):
        candidate, baseline = (f"{listed} scans listed", lambda: record(None)), ("none", lambda: record(False))
        return compare("start of step 1: which run is this", candidate, baseline)


def compare_preprocessing(plan: Plan, dataset: PhantomDataset) -> Comparison:
    """Time of a raw case, preprocessed as nnU-Net does it with its labels, and as a scan without."""
    raw = Path(os.environ["nnUNet_raw"]) / dataset.folder_name
    files = get_filenames_of_train_images_and_targets(str(raw), dict(plan.dataset_json))
    plans, configuration = PlansManager(plan.plans), ConfigurationManager(plan.resolved)
    with TemporaryDirectory(dir=os.environ["nnUNet_preprocessed"]) as temporary:
        folder = UnlabelledFolder.beside(Path(temporary), "data")
        preparation = Preparation(
            plan.plans, plan.configuration, plan.dataset_json, len(configuration.normalization_schemes), folder, {}, False
        )
        folder.path.mkdir()
        preparation.partial.mkdir()
        ours, theirs, numbers = cycle(sorted(files)), cycle(sorted(files)), count()

        def scan() -> None:
            name = next(ours)
            entry = preprocess_scan(preparation, RawScan(name, tuple(map(Path, files[name]["images"]))))
            assert entry.content is not None, entry.left_out

        def case() -> None:
            name = next(theirs)
            configuration.preprocessor_class(verbose=False).run_case_save(
                f"{temporary}/{name}_{next(numbers)}",
                files[name]["images"],
                files[name]["label"],
                plans,
                configuration,
                plan.dataset_json,
            )

        what = f"preprocessing of an image, {plan}"
        candidate, baseline = ("as a scan without labels", scan), ("as nnU-Net's case", case)
        return compare(what, candidate, baseline, calls=len(files), goal=SLOWER)


@contextmanager
def listed_scans(plan: Plan, number: int) -> Iterator[None]:
    """Links to the data set's own preprocessed cases, under other names, as preprocessed scans without labels."""
    folder = Path(os.environ["nnUNet_preprocessed"]) / plan.plans["dataset_name"] / plan.resolved["data_identifier"]
    scans = UnlabelledFolder.beside(folder.parent, folder.name)
    random = np.random.default_rng(0)
    shutil.rmtree(scans.path, ignore_errors=True)
    entries = []
    scans.path.mkdir()
    for index, case in enumerate(islice(cycle(nnUNetDatasetBlosc2.get_identifiers(str(folder))), number)):
        for path in (folder / f"{case}{ending}" for ending in CASE_ENDINGS):
            if path.is_file():
                os.link(path, scans.path / path.name.replace(case, f"scan_{index:05d}", 1))
        content = Content([1, *plan.resolved["patch_size"]], random.standard_normal(27).round(6).tolist(), "")
        entries.append(Entry(f"scan_{index:05d}", [[1, 1]], content, content))
    scans.begin(made_for(plan.plans, plan.resolved), False, entries)
    try:
        yield
    finally:
        shutil.rmtree(scans.path, ignore_errors=True)
        scans.journal_file.unlink()
