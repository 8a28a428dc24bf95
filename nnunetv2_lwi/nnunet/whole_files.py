"""Whether a NIfTI file is whole: ITK, which nnU-Net reads with, takes zeros for what is missing, and for NaN."""

from __future__ import annotations

import gzip
import zlib
from math import prod
from pathlib import Path

import nibabel
import numpy as np
from nibabel.filebasedimages import ImageFileError

ENDINGS = (".nii", ".nii.gz")
"""Readers of other formats tell by themselves what is wrong."""


def problem_of_file(path: Path) -> str | None:
    """Why a file cannot be used, in words; None where it can, or where its format is another.

    Raises:
        OSError: it cannot be opened.
    """
    if not path.name.endswith(ENDINGS):
        return None
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        image = nibabel.load(path).dataobj
    except (EOFError, gzip.BadGzipFile, zlib.error):
        return f"{path.name} is cut short or damaged"
    except ImageFileError:
        return f"{path.name} is no NIfTI file"
    if len(content) < image.offset + prod(image.shape) * image.dtype.itemsize:
        return f"{path.name} is cut short"
    if image.dtype.kind != "f":
        return None
    voxels = np.frombuffer(content, image.dtype, prod(image.shape), image.offset)
    return None if np.isfinite(voxels).all() else "it has NaN or infinite voxels"
