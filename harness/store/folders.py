"""What lies in a folder that somebody named, where it may be a whole disk by mistake."""

from __future__ import annotations

import os
from pathlib import Path

MOST = 20_000


def files_below(folder: Path, most: int = MOST) -> list[Path]:
    """All files in a folder and in the folders in it, sorted; links to folders aren't followed.

    A ValueError where more than `most` files and folders are there: nobody who writes "/" or their
    home waits until all of it has been looked through.
    """
    found, seen = [], 0
    for place, folders, files in os.walk(folder):
        seen += len(folders) + len(files)
        if seen > most:
            raise ValueError(
                f"{folder} has over {most:,} files and folders in it: more than a data set's. "
                "Name the folder that holds the files"
            )
        found += [Path(place, file) for file in files]
    return sorted(found)
