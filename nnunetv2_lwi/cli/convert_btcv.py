"""``nnUNetv2_lwi convert_btcv``: BTCV, also known as Synapse, as downloaded, to nnU-Net's raw format."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from nnunetv2_lwi.datasets.published_splits import SPLITS, number_of
from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.nnunet.folders import folder_of

EXAMPLES = ("convert_btcv -i RawData -d 17 --name Synapse",)
PAGE = "howto/datasets.md#synapse"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Names as in nnU-Net's commands."""
    parser.add_argument(
        "-i", dest="folder", type=Path, required=True, help="folder with Training/img and Training/label, or that of RawData"
    )
    parser.add_argument("-d", dest="dataset_id", type=int, required=True, help="data set id to give, 1 to 999")
    parser.add_argument("--name", default="BTCV", help="data set name to give, after DatasetXXX_ (default: %(default)s)")
    parser.add_argument("--overwrite", action="store_true", help="replace what this command wrote earlier; other files stay")


def run(arguments: argparse.Namespace) -> None:
    """Check everything, then copy the files under nnU-Net's names.

    Raises:
        UserError: the target cannot be written, or the download is not BTCV's; nothing was written then.
    """
    from nnunetv2_lwi.datasets.btcv import check_volumes, find_download, write_dataset

    target = free_target(arguments.dataset_id, arguments.name, arguments.overwrite)
    download = find_download(arguments.folder)
    if download.root.resolve().is_relative_to(target.resolve()):
        raise UserError(f"{download.root} lies in {target}, which would be replaced: move it, or give another --name.")
    shifted = check_volumes(download)
    write_dataset(download, target)
    print(f"Wrote {target}: {len(download.images)} training cases, {len(download.test_images)} test images.")
    if shifted:
        print(f"Warning: image and label have other origins, and are paired voxel by voxel: {', '.join(shifted)}.")
    missing = {*SPLITS["btcv"].train, *SPLITS["btcv"].val} - {number_of(case) for case in download.images}
    if missing:
        print(f"The published splits need also the cases {', '.join(map(str, sorted(missing)))}.")
    print(f"Next:\n  nnUNetv2_plan_and_preprocess -d {arguments.dataset_id} -c 3d_fullres --verify_dataset_integrity")


def free_target(dataset_id: int, name: str, overwrite: bool) -> Path:
    """Where the data set goes: an id that no other data set has, and no folder but one that this command wrote.

    Raises:
        UserError: nnUNet_raw is not set, or id or name is not possible or taken.
    """
    from nnunetv2.utilities.dataset_name_id_conversion import find_candidate_datasets

    from nnunetv2_lwi.datasets.btcv import is_conversion

    raw = folder_of("nnUNet_raw")
    if not 1 <= dataset_id <= 999:
        raise UserError(f"-d {dataset_id}: a data set id is a whole number from 1 to 999.")
    if not re.fullmatch(r"[\w.-]+", name) or "__" in name:
        raise UserError(f"--name {name}: data sets are named with letters, digits, '.', '-' and '_', and without '__'.")
    target = raw / f"Dataset{dataset_id:03d}_{name}"
    others = sorted(set(map(str, find_candidate_datasets(dataset_id))) - {target.name})
    if others:
        raise UserError(f"-d {dataset_id} is the id of {', '.join(others)} already: give another one.")
    if target.exists():
        if not is_conversion(target):
            raise UserError(f"{target} was not written by nnUNetv2_lwi convert_btcv and stays: give another -d.")
        if not overwrite:
            raise UserError(f"{target} exists: append --overwrite to replace it, or give another -d.")
    return target
