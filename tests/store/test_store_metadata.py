"""The metadata database: transactions, migrations, blobs."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy.exc import OperationalError

from trimtab.core import ConfigError, Conflict, NotFound
from trimtab.store import Blobs, Metadata, Settings
from trimtab.store.metadata import HEAD, MIGRATIONS
from trimtab.store.tables import blobs, schema, settings, versions


def migrate(path: Path, to: str) -> None:
    """What an older program left: a database at an older revision."""
    engine = sa.create_engine(f"sqlite:///{path}")
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, to)
    engine.dispose()


def everything(path: Path) -> list[tuple[str, ...]]:
    """Every table and index, as SQL."""
    connection = sqlite3.connect(path)
    found = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name").fetchall()
    connection.close()
    return [(a, b, c, " ".join((d or "").replace("(", " ( ").replace(")", " ) ").split())) for a, b, c, d in found]


def test_migrations_lead_to_the_schema_of_a_fresh_database(tmp_path: Path) -> None:
    migrate(tmp_path / "migrated.db", "head")
    Metadata.open(tmp_path / "fresh.db").close()
    assert everything(tmp_path / "migrated.db") == everything(tmp_path / "fresh.db")
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'migrated.db'}")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection)
        assert context.get_current_revision() == HEAD
        assert compare_metadata(context, schema) == []
    engine.dispose()


async def test_an_older_schema_is_migrated_and_keeps_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "metadata.db"
    migrate(path, "0001")
    old = sqlite3.connect(path)
    old.execute(
        "INSERT INTO versions (kind, name, number, digest, content) VALUES ('prompts', 'a', 1, 'd', '{\"x\":1}')"
    )
    old.commit()
    assert old.execute("SELECT count(*) FROM sqlite_master WHERE name = 'incidents'").fetchone() == (0,)
    old.close()
    metadata = Metadata.open(path)
    try:
        rows = await metadata.read(lambda connection: connection.execute(sa.select(versions)).all())
        assert [(row.name, row.number, row.content, row.note) for row in rows] == [("a", 1, {"x": 1}, "")]
        assert await metadata.read(lambda c: c.scalar(sa.text("SELECT count(*) FROM incidents"))) == 0
    finally:
        metadata.close()
    Metadata.open(path).close()


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "metadata.db"
    Metadata.open(path).close()
    connection = sqlite3.connect(path)
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()
    with pytest.raises(Conflict, match=r"9999.*newer") as caught:
        Metadata.open(path)
    assert caught.value.mend


def test_a_database_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "metadata.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE theirs (x)")
    connection.commit()
    connection.close()
    with pytest.raises(Conflict, match="not Trimtab's"):
        Metadata.open(path)


@pytest.mark.parametrize("content", [b"not a database, but long enough to have a header" * 9, None])
def test_what_is_no_database_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "metadata.db"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"metadata\.db cannot be opened"):
        Metadata.open(path)


def test_alembic_is_not_loaded_where_there_is_nothing_to_migrate(tmp_path: Path) -> None:
    code = (
        "import sys; from trimtab.store import Metadata\n"
        "for _ in range(2): Metadata.open(sys.argv[1]).close()\n"
        "assert 'alembic' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "m.db")], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


def test_a_fresh_database_needs_no_migration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a fresh database was taken through the migrations")

    monkeypatch.setattr(command, "upgrade", refuse)
    Metadata.open(tmp_path / "new.db").close()
    with contextlib.closing(sqlite3.connect(tmp_path / "new.db")) as opened:
        assert opened.execute("SELECT version_num FROM alembic_version").fetchall() == [(HEAD,)]


@pytest.fixture
def metadata(tmp_path: Path) -> Iterator[Metadata]:
    opened = Metadata.open(tmp_path / "metadata.db")
    yield opened
    opened.close()


async def test_writers_take_turns(metadata: Metadata) -> None:
    await metadata.write(lambda c: c.execute(sa.insert(settings).values(name="n", value=0)))

    def add_one(connection: sa.Connection) -> None:
        n = connection.scalars(sa.select(settings.c.value)).one()
        connection.execute(sa.update(settings).values(value=n + 1))

    await asyncio.gather(*(metadata.write(add_one) for _ in range(50)))
    assert await metadata.read(lambda c: c.scalar(sa.select(settings.c.value))) == 50


async def test_a_failed_write_leaves_nothing(metadata: Metadata) -> None:
    def half(connection: sa.Connection) -> None:
        connection.execute(sa.insert(settings).values(name="n", value=1))
        raise RuntimeError("on the way")

    with pytest.raises(RuntimeError, match="on the way"):
        await metadata.write(half)
    assert await metadata.read(lambda c: c.scalar(sa.select(sa.func.count()).select_from(settings))) == 0
    assert await metadata.write(lambda c: c.execute(sa.insert(settings).values(name="n", value=1)).rowcount) == 1


async def test_a_reader_cannot_write(metadata: Metadata) -> None:
    with pytest.raises(OperationalError, match="readonly"):
        await metadata.read(lambda c: c.execute(sa.insert(settings).values(name="n", value=1)))


async def test_reads_do_not_wait_for_a_writer(metadata: Metadata) -> None:
    inside, go_on = threading.Event(), threading.Event()

    def slow(connection: sa.Connection) -> None:
        connection.execute(sa.insert(settings).values(name="n", value=1))
        inside.set()
        assert go_on.wait(10)

    def count(connection: sa.Connection) -> int:
        return int(connection.scalar(sa.select(sa.func.count()).select_from(settings)) or 0)

    writing = asyncio.create_task(metadata.write(slow))
    assert await asyncio.to_thread(inside.wait, 10)
    assert await metadata.read(count) == 0
    go_on.set()
    await writing
    assert await metadata.read(count) == 1


async def test_blobs_are_kept_once_and_found_by_digest(metadata: Metadata) -> None:
    store = Blobs(metadata)
    digest = await store.put(b"\x00hello")
    assert digest == await store.put(b"\x00hello")
    assert len(digest) == 64
    assert await store.get(digest) == b"\x00hello"
    assert await store.get(await store.put(b"")) == b""
    assert await metadata.read(lambda c: c.scalar(sa.select(sa.func.count()).select_from(blobs))) == 2
    with pytest.raises(NotFound, match="nothere"):
        await store.get("nothere")


async def test_a_setting_is_drawn_once(metadata: Metadata) -> None:
    drawn = await asyncio.gather(*(Settings(metadata).once("secret", n) for n in range(8)))
    assert len(set(drawn)) == 1
    assert await Settings(metadata).once("secret", "another") == drawn[0] == await Settings(metadata).get("secret")


@pytest.mark.parametrize("value", ["1795634874495111", "", 7, 0.5, None, True, [1, "2"], {"a": {"b": [None]}}])
async def test_a_setting_comes_back_as_it_was(metadata: Metadata, value: object) -> None:
    store = Settings(metadata)
    await store.put("x", "before")
    await store.put("x", value)
    found = await store.get("x")
    assert found == value
    assert type(found) is type(value)
    assert await store.get("y") is None
