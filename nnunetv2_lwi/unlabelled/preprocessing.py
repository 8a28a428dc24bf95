"""Scans without labels, preprocessed by the plan's own preprocessor and reader, as nnU-Net does it with labelled cases."""

from __future__ import annotations

import errno
import multiprocessing
import shutil
import signal
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from nnunetv2.imageio.base_reader_writer import BaseReaderWriter
from nnunetv2.training.dataloading.nnunet_dataset import infer_dataset_class
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from nnunetv2_lwi.disk import DISK_TROUBLE, disk_error_behind
from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.nnunet.commands import end_with_parent
from nnunetv2_lwi.nnunet.contents import Content, read_content, shared
from nnunetv2_lwi.nnunet.whole_files import problem_of_file
from nnunetv2_lwi.unlabelled.fitness import problem_of
from nnunetv2_lwi.unlabelled.folder import IMAGE_ENDINGS, Entry, UnlabelledFolder
from nnunetv2_lwi.unlabelled.raw_scans import FileState, RawScan

SEGMENTATION = "_seg.b2nd"

OF_THE_MACHINE = (*DISK_TROUBLE, errno.ENOENT, errno.EMFILE, errno.ENFILE)
"""Numbers of errors that say nothing of what a file holds."""
LITTLE_ROOM = 64 * 2**20
"""Bytes; where less is free, what fails is taken to fail for that."""
CHANGED = "its files changed while they were read: run the command again when they are whole"
NOT_READ = "it could not be read now"
FAILED = "the plan's preprocessor failed on it"
NOT_FOR_GOOD = (CHANGED, NOT_READ, FAILED)
"""Begin reasons that may be the machine's: the next call tries again. Others hold until the files change."""
GO_ON = "run the same command again; it goes on"


@dataclass(frozen=True)
class Preparation:
    """What every scan is preprocessed by.

    Attributes:
        plans: content of the plans file.
        configuration: its name.
        test_images: raw, by case.
        allows_test_images: whether an image of the test is preprocessed all the same.
    """

    plans: dict[str, Any]
    configuration: str
    dataset_json: dict[str, Any]
    channels: int
    folder: UnlabelledFolder
    test_images: Mapping[str, Content]
    allows_test_images: bool

    @property
    def partial(self) -> Path:
        """Where scans lie while they are written, on the same disk."""
        return self.folder.path.with_name(f".{self.folder.path.name}.partial")

    @property
    def usual_spacing(self) -> list[float] | None:
        """The data set's, in the order of the axes in which its images are read."""
        spacing, back = (self.plans.get(key) for key in ("original_median_spacing_after_transp", "transpose_backward"))
        return None if spacing is None or back is None else [spacing[axis] for axis in back]


class _Unfit(Exception):
    """A scan that cannot be used, or need not be; the reason is its text."""


def preprocess(preparation: Preparation, scans: Sequence[RawScan], processes: int) -> Iterator[Entry]:
    """Preprocess scans side by side; each is whole before it is handed back, in the order in which they end.

    Raises:
        UserError: a process was killed, or the disk does not take what is written; what was handed back stands.
    """
    shutil.rmtree(preparation.partial, ignore_errors=True)
    preparation.partial.mkdir(parents=True)
    pool = ProcessPoolExecutor(
        processes, multiprocessing.get_context("spawn"), initializer=_begin_worker, initargs=(preparation,)
    )
    left = [scan.name for scan in scans]
    try:
        for job in as_completed([pool.submit(_work, scan) for scan in scans]):
            entry = job.result()
            left.remove(entry.name)
            yield entry
    except BrokenProcessPool as error:
        free = shutil.disk_usage(preparation.partial).free / 2**20
        raise UserError(
            f"A process that preprocessed was killed, as happens where memory or room on the disk ends ({free:.0f} MiB are "
            f"free in {preparation.folder.path}): make room, or take fewer processes (-np), and {GO_ON}. It was at one of "
            f"these, which may be too large for this machine: {', '.join(left[:processes])}."
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)
        shutil.rmtree(preparation.partial, ignore_errors=True)


def preprocess_scan(preparation: Preparation, scan: RawScan) -> Entry:
    """Preprocess one scan, or say why it is left out.

    Raises:
        UserError: the disk does not take what is written.
        MemoryError: there is not enough.
    """
    try:
        before = scan.state()
    except OSError:
        return Entry(scan.name, [], left_out=CHANGED)
    seen: list[Content] = []
    plans = PlansLookingAtImages(preparation, seen)
    folder = preparation.partial / uuid4().hex
    folder.mkdir()
    try:
        configuration = plans.get_configuration(preparation.configuration)
        preprocessor = configuration.preprocessor_class(verbose=False)
        preprocessor.run_case_save(
            str(folder / scan.name), list(map(str, scan.files)), None, plans, configuration, preparation.dataset_json
        )
        if not is_still(scan, before):
            return Entry(scan.name, before, left_out=CHANGED)
        content = read_content(infer_dataset_class(str(folder)), folder, scan.name)
        _move_whole(folder, preparation.folder.path)
        return Entry(scan.name, before, content, seen[0], test_image=_test_image(preparation, seen))
    except _IsTestImage as match:
        return Entry(scan.name, before, raw=seen[0], test_image=str(match))
    except _Unfit as reason:
        return Entry(scan.name, before, left_out=str(reason) if is_still(scan, before) else CHANGED)
    except MemoryError as error:
        raise UserError(
            f"There is not enough memory to preprocess scan {scan.name}: take fewer processes (-np), and {GO_ON}."
        ) from error
    except Exception as error:
        _require_disk(error, folder)
        return Entry(scan.name, before, left_out=f"{FAILED} ({_words(error)})")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _IsTestImage(Exception):
    """The scan shows the image of a test case, whose name is the text."""


class PlansLookingAtImages(PlansManager):  # type: ignore[misc]
    """The plans, whose reader hands over only images that can be used, and leaves what they show in ``seen``."""

    def __init__(self, preparation: Preparation, seen: list[Content]) -> None:
        super().__init__(preparation.plans)
        self._preparation = preparation
        self._seen = seen

    @property
    def image_reader_writer_class(self) -> type[BaseReaderWriter]:
        """A subclass of the plan's reader."""
        preparation, seen, reader = self._preparation, self._seen, super().image_reader_writer_class

        class LookingReader(reader):  # type: ignore[misc,valid-type]
            def read_images(self, image_fnames: Sequence[str]) -> tuple[Any, dict[str, Any]]:
                image, properties = _read(super().read_images, image_fnames)
                problem = problem_of(image, properties["spacing"], preparation.channels, preparation.usual_spacing)
                if problem is not None:
                    raise _Unfit(problem)
                seen.append(Content.of_image(image))
                match = None if preparation.allows_test_images else _test_image(preparation, seen)
                if match is not None:
                    raise _IsTestImage(match)
                return image, properties

        return LookingReader


def read_raw(plans: dict[str, Any], scan: RawScan) -> Content | None:
    """What a raw image shows, read by the plan's reader; None where it cannot be read."""
    try:
        image, _ = _read(PlansManager(plans).image_reader_writer_class().read_images, list(map(str, scan.files)))
    except _Unfit:
        return None
    return Content.of_image(image)


def _read(read: Any, files: Sequence[str]) -> tuple[Any, dict[str, Any]]:
    """Readers of several packages tell in as many ways that a file is damaged."""
    try:
        problems = filter(None, (problem_of_file(Path(file)) for file in files))
        for problem in problems:
            raise _Unfit(problem)
        image, properties = read(files)
    except (MemoryError, _Unfit):
        raise
    except Exception as error:
        behind = disk_error_behind(error)
        what = NOT_READ if behind is not None and behind.errno in OF_THE_MACHINE else "it cannot be read"
        raise _Unfit(f"{what} ({_words(error)})") from error
    return image, properties


def _test_image(preparation: Preparation, seen: Sequence[Content]) -> str | None:
    return shared(preparation.test_images, {"": seen[0]}).get("")


def is_still(scan: RawScan, before: Sequence[FileState]) -> bool:
    """Whether the files are as they were, and not being copied, say."""
    try:
        return scan.state() == before
    except OSError:
        return False


def _require_disk(error: Exception, folder: Path) -> None:
    """Raises:
    UserError: the error is the disk's, or one of a library that met a full one.
    """
    behind = disk_error_behind(error)
    if behind is not None and behind.errno in DISK_TROUBLE:
        where, why = behind.filename or folder, behind.strerror
    elif (free := shutil.disk_usage(folder).free) < LITTLE_ROOM:
        where, why = folder.parent.parent, f"the disk has {free / 2**20:.0f} MiB free"
    else:
        return
    raise UserError(f"{where} could not be written: {why}. Mend that, and {GO_ON}.") from error


def _words(error: Exception) -> str:
    return (" ".join(str(error).split()) or type(error).__name__)[:200]


def _move_whole(source: Path, target: Path) -> None:
    """The image goes first and comes last: by it nnU-Net knows that a case is there."""
    files = sorted(source.iterdir(), key=_is_image)
    for path in filter(_is_image, files):
        (target / path.name).unlink(missing_ok=True)
    for path in files:
        path.replace(target / path.name)


def _is_image(path: Path) -> bool:
    return path.suffix in IMAGE_ENDINGS and not path.name.endswith(SEGMENTATION)


_preparation: Preparation | None = None
"""Of this worker."""


def _begin_worker(preparation: Preparation) -> None:
    global _preparation
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _preparation = preparation


def _work(scan: RawScan) -> Entry:
    assert _preparation is not None
    return preprocess_scan(_preparation, scan)
