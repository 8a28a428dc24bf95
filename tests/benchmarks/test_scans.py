from __future__ import annotations

from benchmarks import scans
from benchmarks.plans import own_plan
from benchmarks.scans import compare_batches, compare_start, listed_scans, loader_of
from nnunetv2_lwi.training.loading.checked_voxels import PREFIX
from nnunetv2_lwi.unlabelled.folder import UnlabelledFolder


def test_scans_are_listed_and_drawn_in_the_number_that_is_measured(phantom):
    plan = own_plan(phantom)
    with listed_scans(plan, 20):
        for share, number in ((None, 20), (0.1, 2)):
            names = loader_of(plan, share).indices
            assert sum(name.startswith(PREFIX) for name in names) == number


def test_a_batch_and_the_start_are_timed_and_nothing_is_left(phantom, dataset, monkeypatch):
    monkeypatch.setattr(scans, "CALLS", 1)
    plan = own_plan(phantom)
    assert compare_batches(plan, 2, 20).ratio.median > 0
    assert compare_start(plan, 30).candidate == "30 scans listed"
    folder = UnlabelledFolder.beside(dataset.folder, "nnUNetPlans_3d_fullres")
    assert not folder.path.exists() and not folder.journal_file.exists()
