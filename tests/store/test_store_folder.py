"""One process at a time has a data folder, and a killed one leaves it free."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from trimtab.core import ConfigError, Conflict
from trimtab.store import DataFolder

HOLDER = """
import sys
from trimtab.store import DataFolder
folder = DataFolder.open(sys.argv[1])
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_process_is_told_who_has_the_folder(tmp_path: Path) -> None:
    path = tmp_path / "data"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            with pytest.raises(Conflict) as caught:
                DataFolder.open(path)
            assert str(path) in caught.value.message
            assert f"process {holder.pid}" in caught.value.message
            assert caught.value.mend
        finally:
            holder.send_signal(signal.SIGKILL)
        holder.wait()
    with DataFolder.open(path) as folder:
        assert (path / "lock").read_text() == f"{os.getpid()}\n"
        assert folder.metadata_path == path / "metadata.db"
        assert folder.spans_path == path / "spans"


def test_closing_releases_the_folder(tmp_path: Path) -> None:
    first = DataFolder.open(tmp_path / "deep" / "data")
    with pytest.raises(Conflict):
        DataFolder.open(tmp_path / "deep" / "data")
    first.close()
    first.close()
    DataFolder.open(tmp_path / "deep" / "data").close()


def test_only_the_owner_may_look_inside(tmp_path: Path) -> None:
    with DataFolder.open(tmp_path / "data") as folder:
        assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(ConfigError) as caught:
        DataFolder.open(tmp_path / "data")
    assert caught.value.field == "data"
    assert caught.value.mend
