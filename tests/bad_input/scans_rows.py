"""Scans without labels that are not there, or not as they must be, and what asks for them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from filelock import FileLock, Timeout

from nnunetv2_lwi.one_writer import OneWriter
from tests.bad_input.table import Act, Init, World, row
from tests.raw_scans import make_raw_dataset, raw_image, write_raw
from tests.tiny_dataset import NAME, add_scans


def raw_folder(world: World, *scans: str) -> Path:
    """nnUNet_raw with the data set and some scans; its folder."""
    raw = make_raw_dataset(world.dataset, world.root / "raw")
    world.monkeypatch.setenv("nnUNet_raw", str(world.root / "raw"))
    for scan in scans:
        write_raw(raw.scans, scan, raw_image(1))
    return raw.folder


@row("no folder with scans without labels")
def _(world: World) -> Act:
    raw_folder(world)
    return world.command("unlabelled", "-d", "999")


@row("a folder without a scan", "it is empty", case="empty")
def _(world: World) -> Act:
    (raw_folder(world) / "imagesUn").mkdir()
    return world.command("unlabelled", "-d", "999")


@row("a folder without a scan", "none of its 1 entries is one", case="other names")
def _(world: World) -> Act:
    folder = raw_folder(world) / "imagesUn"
    folder.mkdir()
    (folder / "scan.nii.gz").touch()
    return world.command("unlabelled", "-d", "999")


@row("two scans of one name")
def _(world: World) -> Act:
    folder = raw_folder(world, "a")
    other = Path(shutil.copytree(folder / "imagesUn", world.root / "other"))
    return world.command("unlabelled", "-d", "999", "-i", folder / "imagesUn", other)


@row("the data set's own images for scans without labels", "imagesTr")
def _(world: World) -> Act:
    folder = raw_folder(world)
    write_raw(folder / "imagesTr", "a", raw_image(1))
    return world.command("unlabelled", "-d", "999", "-i", folder / "imagesTr")


@row("unlabelled with no process")
def _(world: World) -> Act:
    raw_folder(world, "a")
    return world.command("unlabelled", "-d", "999", "-np", "0")


@row("unlabelled without plans, in a data set without labels")
def _(world: World) -> Act:
    (raw_folder(world, "a") / "imagesTr").rmdir()
    (world.folder / "nnUNetPlans.json").unlink()
    return world.command("unlabelled", "-d", "999")


for option in (["--plan"], ["--plan-of", "999"]):

    @row("unlabelled that is to make plans which are there", case=option[0])
    def _(world: World, option: list[str] = option) -> Act:
        raw_folder(world, "a")
        return world.command("unlabelled", "-d", "999", *option)


@row("scans without labels that the plan asks for and that are not there")
def _(world: World) -> Act:
    return world.train(Init, init={"epochs": 2, "unlabelled": True})


@row("scans without labels that another plan preprocessed")
def _(world: World) -> Act:
    add_scans(world.dataset, {"a": 100})
    world.configuration["normalization_schemes"] = ["NoNormalization"]
    return world.train(Init)


@row("a fold of a data set without labelled cases")
def _(world: World) -> Act:
    add_scans(world.dataset, {"a": 100, "b": 101})
    shutil.rmtree(world.cases)
    return world.train(Init)


@row("nnUNetv2_lwi train of a data set without labelled cases")
def _(world: World) -> Act:
    add_scans(world.dataset, {"a": 100, "b": 101})
    shutil.rmtree(world.cases)
    return world.command("train", "999", "3d_fullres", "all", "-device", "cpu")


@row("nnUNetv2_lwi train where scans without labels came since step 1", "are new: 1 (a)")
def _(world: World) -> Act:
    world.place("nnUNetTrainerLWIInit")
    add_scans(world.dataset, {"a": 100})
    return world.command("train", "999", "3d_fullres", "0", "-device", "cpu")


@row("--grow where no step 1 is to be run", NAME)
def _(world: World) -> Act:
    return world.command("train", "999", "3d_fullres", "0", "-device", "cpu", "--grow", "--step1", world.file())


@row("a second nnUNetv2_lwi unlabelled on one configuration")
def _(world: World) -> Act:
    raw_folder(world, "a")
    writer = OneWriter(world.folder, f".{world.dataset.scans.path.name}.lock")
    writer.acquire()
    world.monkeypatch.setattr(OneWriter, "acquire", refusing(world.monkeypatch))
    return world.command("unlabelled", "-d", "999")


def refusing(monkeypatch: pytest.MonkeyPatch) -> object:
    """Within one process a lock may be had again; here it is another's."""
    acquire = OneWriter.acquire

    def fail(lock: FileLock, *_: object, **__: object) -> None:
        raise Timeout(lock.lock_file)

    def refused(self: OneWriter) -> bool:
        monkeypatch.setattr(FileLock, "acquire", fail)
        return acquire(self)

    return refused
