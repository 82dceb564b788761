"""Arrays from a folder that may be anybody's.

A file may say of itself that it holds more than there is memory for, or hold what is read as
code. So nothing is unpickled, and nothing is made room for that the file is too short to hold.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np


def map_array(file: Path) -> np.ndarray[Any, Any]:
    """An array of numbers in a `.npy` file, read as far as it is used.

    Many processes share one copy of what was read.

    Raises:
        OSError, ValueError: if it is none, or not as long as it says.
    """
    # A map of a file reaches no further than the file.
    return np.asarray(np.load(file, mmap_mode="r", allow_pickle=False))


def read_arrays(file: Path) -> dict[str, np.ndarray[Any, Any]]:
    """The arrays of an `.npz` file by name.

    Raises:
        OSError, ValueError, zipfile.BadZipFile: if it is none, or an array is not as long as it
            says.
    """
    found = {}
    with zipfile.ZipFile(file) as archive:
        size = file.stat().st_size
        for entry in archive.infolist():
            if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > size:
                raise ValueError(f"{entry.filename} is packed, which ragemo does not do")
            with archive.open(entry) as opened:
                shape, _, kind = _header(opened)
                if kind.hasobject or np.prod(shape, dtype=object) * kind.itemsize > size:
                    raise ValueError(f"{entry.filename} is no array of numbers, or too long")
            with archive.open(entry) as opened:
                name = entry.filename.removesuffix(".npy")
                found[name] = np.lib.format.read_array(opened, allow_pickle=False)
    return found


def _header(opened: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(opened)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(opened)
    return np.lib.format.read_array_header_2_0(opened)
