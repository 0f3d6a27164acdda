"""ClickHouse's HTTP interface for tests: the engine of ClickHouse itself (chDB) behind a small server.

    python clickhouse_server.py FOLDER [PORT]

Listens on 127.0.0.1, on a free port unless one is given, and prints the port. It understands what a client says that
does not compress: the query in the address or the body, data for INSERT in any format, settings as parameters of the
address. One request at a time reaches the engine. What only a server has (users, replicas, quotas) is not there.
"""

from __future__ import annotations

import re
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from chdb.session import Session

#: Parameters of the address that are no settings of the engine.
NOT_SETTINGS = {
    "query", "database", "default_format", "session_id", "session_timeout", "session_check", "query_id", "user",
    "password", "compress", "decompress", "enable_http_compression", "http_zlib_compression_level", "role",
    "client_protocol_version", "send_progress_in_http_headers", "http_headers_progress_interval_ms",
    "wait_end_of_query", "async_insert", "wait_for_async_insert", "max_execution_time",
    "cancel_http_readonly_queries_on_client_close",
}  # fmt: skip
INSERT = re.compile(rb"\s*INSERT\s+INTO\s.*?\sFORMAT\s+(\w+)[ \t]*(?:\n|$)", re.IGNORECASE | re.DOTALL)
FORMAT = re.compile(r"\sFORMAT\s+(\w+)\s*;?\s*$", re.IGNORECASE)
CODE = re.compile(r"Code: (\d+)")


class Engine:
    """One session of the engine, which may be used by one thread at a time."""

    def __init__(self, folder: str) -> None:
        self._session = Session(folder)
        self._lock = threading.Lock()
        self._database = ""
        self._settings: dict[str, str] = {}

    def run(self, sql: str, form: str, database: str, settings: dict[str, str]) -> bytes:
        with self._lock:
            # Most requests want what the one before wanted.
            if database not in ("", self._database):
                self._session.query(f"USE {database}")
                self._database = database
            for name in self._settings.keys() - settings.keys():
                self._session.query(f"SET {name} = DEFAULT")
            for name, value in settings.items() - self._settings.items():
                self._session.query(f"SET {name} = '{value}'")
            self._settings = settings
            answer = self._session.query(sql, form)
        return b"" if answer is None else bytes(answer.bytes())


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body in one packet: two of them would wait for each other.
    wbufsize = -1
    disable_nagle_algorithm = True
    engine: Engine

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.answer(b"")

    def do_POST(self) -> None:
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.answer(body)

    def answer(self, body: bytes) -> None:
        address = urlsplit(self.path)
        if address.path == "/ping":
            self.send(200, b"Ok.\n", "TabSeparated")
            return
        said = dict(parse_qsl(address.query, keep_blank_values=True))
        settings = {name: value for name, value in said.items() if name not in NOT_SETTINGS}
        query = said.get("query", "").encode()
        whole = query + b"\n" + body if query else body
        form = said.get("default_format") or self.headers.get("X-ClickHouse-Format") or "TabSeparated"
        try:
            with tempfile.NamedTemporaryFile() as data:
                if insert := INSERT.match(whole):
                    data.write(whole[insert.end() :])
                    data.flush()
                    head = whole[: insert.end()].decode()
                    sql = FORMAT.sub(f" FROM INFILE '{data.name}' FORMAT {insert[1].decode()}", head)
                else:
                    sql = whole.decode()
                    if asked := FORMAT.search(sql):
                        form, sql = asked[1], sql[: asked.start()]
                self.send(200, self.engine.run(sql, form, said.get("database", ""), settings), form)
        except Exception as error:
            code = CODE.search(str(error))
            self.send(500, str(error).encode(), "TabSeparated", code[1] if code else "1")

    def send(self, status: int, body: bytes, form: str, code: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-ClickHouse-Format", form)
        self.send_header("X-ClickHouse-Summary", "{}")
        if code:
            self.send_header("X-ClickHouse-Exception-Code", code)
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    Handler.engine = Engine(str(folder))
    with ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2]) if len(sys.argv) > 2 else 0), Handler) as server:
        print(server.server_address[1], flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
