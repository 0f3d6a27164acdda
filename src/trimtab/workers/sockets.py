"""Where the unix sockets of a data folder lie."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from trimtab.core import ConfigError

CONTROL, PAGES = "control.sock", "pages.sock"
#: The longest path that a unix socket may have everywhere, with room to spare.
_LONGEST = 96


def socket_path(folder: Path, name: str) -> Path:
    """The place of a socket: in the data folder, or, where its path is too long for a socket, in a folder of the same
    user for temporary files that is named after it. Raises ConfigError where that folder is somebody else's."""
    path = folder.absolute() / name
    if len(os.fsencode(path)) <= _LONGEST:
        return path
    mark = hashlib.sha256(os.fsencode(folder.absolute())).hexdigest()[:16]
    own = Path(tempfile.gettempdir()) / f"trimtab-{os.getuid()}-{mark}"
    own.mkdir(mode=0o700, exist_ok=True)
    found = own.lstat()
    if found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise ConfigError(
            f"the folder {own} for sockets is not this user's alone.", field="data", mend="Remove it, or give the data "
            "folder a shorter path."
        )  # fmt: skip
    return own / name
