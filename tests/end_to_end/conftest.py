"""One workplace for all end-to-end tests: planning and preprocessing are the slow part that they share.

On a few cases of the data set that the environment variable NNUNETV2_LWI_TEST_DATASET names (nnU-Net's raw format, with
imagesTs and labelsTs), else on the phantom.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from nnunetv2_lwi.datasets.phantom import write_phantom
from tests.end_to_end.workplace import (
    TEST_CASES,
    TRAINING_CASES,
    UNLABELLED_SCANS,
    Workplace,
    copy_some_cases,
    take_labels_away,
)


@pytest.fixture(scope="session")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workplace]:
    """With the data in place and nothing run yet."""
    root = tmp_path_factory.mktemp("nnunet")
    given = os.environ.get("NNUNETV2_LWI_TEST_DATASET")
    if given:
        place = Workplace(root, "Dataset004_Given")
        copy_some_cases(Path(given), place.raw)
    else:
        place = Workplace(root, "Dataset004_Phantom")
        write_phantom(place.raw, cases=TRAINING_CASES + UNLABELLED_SCANS, test_cases=TEST_CASES)
    take_labels_away(place.raw)
    yield place
    shutil.rmtree(root)
