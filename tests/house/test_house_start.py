"""What a server loads before its first request: what a resting gateway does not need is left for later."""

from __future__ import annotations

import subprocess
import sys

#: Large, and needed only by who asks for a page, sends telemetry, checks a schema or keeps metadata in PostgreSQL.
LATER = (
    "google.protobuf.descriptor", "jinja2", "jsonschema_rs", "psycopg", "sqlalchemy.dialects.postgresql",
    "trimtab.traces.proto", "trimtab.web.app", "trimtab.web.server",
)  # fmt: skip


def test_a_server_starts_without_what_it_may_never_need() -> None:
    code = f"import sys, trimtab.cli.up; print(*(name for name in {LATER!r} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert not done.stdout.split(), f"loaded at the start: {done.stdout}"
