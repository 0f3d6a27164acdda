"""The metadata database on PostgreSQL: what holds on SQLite holds here, also for several processes at once."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.exc import DBAPIError, InternalError

from trimtab.core import ConfigError, Conflict, Overloaded
from trimtab.store import Blobs, Metadata, Settings, tables
from trimtab.store.metadata import HEAD, _migrate
from trimtab.store.tables import changes, settings, versions

OPENER = """
import sys
from trimtab.store import Metadata
metadata = Metadata.open(sys.argv[1])
print(metadata.look_up(lambda c: c.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()))
metadata.close()
"""


@pytest.fixture
def raw(postgres_url: str) -> Iterator[sa.Engine]:
    """The database without Trimtab."""
    engine = sa.create_engine(postgres_url.replace("postgresql:", "postgresql+psycopg:", 1))
    yield engine
    engine.dispose()


@pytest.fixture
def open_metadata(postgres_url: str) -> Iterator[Callable[[], Metadata]]:
    opened: list[Metadata] = []

    def open_() -> Metadata:
        opened.append(Metadata.open(postgres_url))
        return opened[-1]

    yield open_
    for metadata in opened:
        metadata.close()


@pytest.fixture
def metadata(open_metadata: Callable[[], Metadata]) -> Metadata:
    return open_metadata()


def add_one(connection: sa.Connection) -> None:
    n = connection.scalars(sa.select(settings.c.value)).one()
    connection.execute(sa.update(settings).values(value=n + 1))


def value(connection: sa.Connection) -> Any:
    return connection.scalar(sa.select(settings.c.value))


async def test_a_fresh_database_has_the_schema_and_migrations_lead_to_it(
    raw: sa.Engine, open_metadata: Callable[[], Metadata]
) -> None:
    def differences() -> list[Any]:
        with raw.connect() as connection:
            context = MigrationContext.configure(connection)
            assert context.get_current_revision() == HEAD
            return list(compare_metadata(context, tables.schema))

    open_metadata().close()
    assert differences() == []
    with raw.begin() as connection:
        connection.exec_driver_sql("DROP SCHEMA public CASCADE")
        connection.exec_driver_sql("CREATE SCHEMA public")
        _migrate(connection, "0001")
        connection.exec_driver_sql(
            "INSERT INTO versions (kind, name, number, digest, content) VALUES ('prompts', 'a', 1, 'd', '{\"x\": 1}')"
        )
        connection.exec_driver_sql(
            "INSERT INTO changes (id, time_ns, action, kind, name, note) VALUES"
            " ('1', 1, 'label', 'prompts', 'a', 'plain'), ('2', 2, 'label', 'prompts', 'a', '@staging: try'),"
            " ('3', 3, 'external', 'models', 'm', '@not: a label')"
        )
    upgraded = open_metadata()
    assert differences() == []
    rows = await upgraded.read(lambda c: c.execute(sa.select(versions)).all())
    assert [(row.name, row.content, list(row.parents), row.needs) for row in rows] == [("a", {"x": 1}, [], {})]
    moved = await upgraded.read(
        lambda c: c.execute(sa.select(changes.c.label, changes.c.note).order_by(changes.c.seq)).all()
    )
    assert [tuple(row) for row in moved] == [("production", "plain"), ("staging", "try"), ("", "@not: a label")]


def test_processes_that_start_together_make_the_tables_once(postgres_url: str) -> None:
    command = [sys.executable, "-c", OPENER, postgres_url]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    said = [process.communicate(timeout=60) for process in started]
    assert [out.strip() for out, _ in said] == [HEAD] * 4, said


async def test_writers_take_turns_over_connections(open_metadata: Callable[[], Metadata]) -> None:
    one, other = open_metadata(), open_metadata()
    await one.write(lambda c: c.execute(sa.insert(settings).values(name="n", value=0)))
    await asyncio.gather(*(metadata.write(add_one) for _ in range(25) for metadata in (one, other)))
    assert await other.read(value) == 50


async def test_a_failed_write_leaves_nothing_and_a_reader_cannot_write(metadata: Metadata) -> None:
    def half(connection: sa.Connection) -> None:
        connection.execute(sa.insert(settings).values(name="n", value=1))
        raise RuntimeError("on the way")

    with pytest.raises(RuntimeError, match="on the way"):
        await metadata.write(half)
    assert await metadata.read(value) is None
    with pytest.raises(InternalError, match="read-only"):
        await metadata.read(lambda c: c.execute(sa.insert(settings).values(name="n", value=1)))


async def test_a_reader_sees_one_moment(open_metadata: Callable[[], Metadata]) -> None:
    one, other = open_metadata(), open_metadata()
    await one.write(lambda c: c.execute(sa.insert(settings).values(name="n", value=1)))
    loop = asyncio.get_running_loop()

    def twice(connection: sa.Connection) -> tuple[Any, Any]:
        before = value(connection)
        asyncio.run_coroutine_threadsafe(other.write(add_one), loop).result(10)
        return before, value(connection)

    assert await one.read(twice) == (1, 1)
    assert await one.read(value) == 2


async def test_a_transaction_that_postgresql_undid_is_run_again(metadata: Metadata) -> None:
    await metadata.write(lambda c: c.execute(sa.insert(settings).values(name="n", value=0)))
    tries: list[int] = []

    def undone(connection: sa.Connection) -> None:
        add_one(connection)
        tries.append(1)
        if len(tries) < 3:
            connection.exec_driver_sql("DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '40001'; END $$")

    await metadata.write(undone)
    assert (len(tries), await metadata.read(value)) == (3, 1)
    tries.clear()
    with pytest.raises(DBAPIError):
        await metadata.write(lambda c: (tries.append(1), c.exec_driver_sql("DO $$ BEGIN RAISE EXCEPTION 'x'; END $$")))
    assert len(tries) == 1


async def test_a_connection_that_was_cut_is_made_anew(metadata: Metadata, raw: sa.Engine) -> None:
    await metadata.write(lambda c: c.execute(sa.insert(settings).values(name="n", value=0)))

    def cut() -> None:
        with raw.connect() as connection:
            connection.exec_driver_sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )

    cut()
    assert await metadata.read(value) == 0
    assert metadata.look_up(value) == 0
    cuts: list[None] = []

    def cut_half_way(connection: sa.Connection) -> None:
        add_one(connection)
        if not cuts:
            cuts.append(cut())
        add_one(connection)

    await metadata.write(cut_half_way)
    assert await metadata.read(value) == 2


def test_a_look_up_gives_up_early_and_rests(metadata: Metadata) -> None:
    with pytest.raises(Overloaded, match="statement timeout"):
        metadata.look_up(lambda c: c.exec_driver_sql("SELECT pg_sleep(30)"))
    with pytest.raises(Overloaded, match="does not answer"):
        metadata.look_up(lambda c: pytest.fail("it was asked again at once"))


def test_a_newer_schema_and_tables_of_somebody_else_are_refused(
    raw: sa.Engine, open_metadata: Callable[[], Metadata]
) -> None:
    with raw.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE theirs (x int)")
    with pytest.raises(Conflict, match="not Trimtab's") as caught:
        open_metadata()
    assert caught.value.field == "storage.metadata"
    with raw.begin() as connection:
        connection.exec_driver_sql("DROP TABLE theirs")
    open_metadata().close()
    with raw.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(Conflict, match=r"9999.*newer"):
        open_metadata()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://mara:hunter2@127.0.0.1:1/trimtab",
        "postgresql://mara:hunter2@/trimtab?host=/nowhere",
        "mysql://mara:hunter2@localhost/trimtab",
        "postgresql://mara:hunter2@localhost:port/trimtab",
    ],
)
def test_what_is_not_there_is_said_without_the_password(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Metadata.open(url)
    assert "hunter2" not in str(caught.value)
    assert caught.value.field == "storage.metadata"
    assert caught.value.mend


async def test_blobs_and_settings(metadata: Metadata) -> None:
    blobs, kept = Blobs(metadata), Settings(metadata)
    digest = await blobs.put(b"\x00hello")
    assert await blobs.get(digest) == b"\x00hello"
    for item in ("1795634874495111", 7, 0.5, None, True, {"a": {"b": [None]}}):
        await kept.put("x", item)
        assert await kept.get("x") == item


def test_without_the_driver_the_mend_is_named(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from trimtab.store import Metadata\n"
        "from trimtab.core import ConfigError\n"
        "try: Metadata.open('postgresql://localhost/x')\n"
        "except ConfigError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert "trimtab[scale]" in done.stdout, done.stderr
