"""A real server: telemetry over gRPC, texts that sampling drops, one person's data deleted although the power fails."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pyarrow.parquet
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from trimtab.core import now_ns
from waiting import until

MARA = "mara@example.com"
EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


def request(traces: range, user: str, **attributes: str) -> ExportTraceServiceRequest:
    made = ExportTraceServiceRequest()
    place = made.resource_spans.add().scope_spans.add().spans
    for number in traces:
        span = place.add(
            trace_id=number.to_bytes(16), span_id=number.to_bytes(8), name="turn", start_time_unix_nano=now_ns(),
            end_time_unix_nano=now_ns(),
        )  # fmt: skip
        for name, value in {"user.id": user, "input.value": f"asked by {user}", **attributes}.items():
            span.attributes.add(key=name).value.string_value = value
    return made


def send(server: Any, made: ExportTraceServiceRequest) -> None:
    status, _, _ = server.ask(
        "POST", "/v1/traces", made.SerializeToString(), {"content-type": "application/x-protobuf"}
    )
    assert status == 200


def run(server: Any, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "trimtab", "trace", *arguments, "--server", server.url]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def address(tmp_path: Path) -> str:
    """An address for gRPC, written into a configuration that drops all ordinary texts at once."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        found = f"127.0.0.1:{probe.getsockname()[1]}"
    (tmp_path / "trimtab.yaml").write_text(
        f"telemetry: {{grpc: '{found}'}}\nsampling: {{share: 0, projects: {{default: 0}}, after: 100ms}}\n"
    )
    return found


def test_grpc_and_sampling(start_server: Callable[..., Any], address: str, tmp_path: Path) -> None:
    server = start_server(config=tmp_path / "trimtab.yaml")
    with grpc.insecure_channel(address) as channel:
        export = channel.unary_unary(
            EXPORT,
            request_serializer=ExportTraceServiceRequest.SerializeToString,
            response_deserializer=ExportTraceServiceResponse.FromString,
        )
        assert export(request(range(1, 4), MARA), timeout=20) == ExportTraceServiceResponse()
        bad = request(range(7, 8), MARA)
        bad.resource_spans[0].scope_spans[0].spans[0].status.code = 2
        export(bad, timeout=20)
    told = until(
        lambda: (found := server.ask("GET", "/api/sampling")[2]) and sum(found["dropped"].values()) == 3 and found
    )
    assert told["kept"] == {"failed": 1}
    span = server.ask("GET", f"/api/traces/{1:032x}")[2]["spans"][0]
    assert (span["input"], span["tags"], span["attributes"]) == ("", {"user": MARA}, {"sampled_out": True})
    assert server.ask("GET", f"/api/traces/{7:032x}")[2]["spans"][0]["input"] == f"asked by {MARA}"
    assert "trimtab_traces_texts_dropped_total 3" in server.ask("GET", "/metrics")[2]
    assert "Sampling left out the texts" in server.ask("GET", f"/traces/{1:032x}")[2]
    assert "dropped: default" in run(server, "sampling").stdout
    file = tmp_path / "traces.parquet"
    done = run(server, "export", "--format", "parquet", "--out", str(file))
    assert (done.returncode, pyarrow.parquet.read_table(file).num_rows) == (0, 4)


def test_forgetting_survives_a_power_cut(start_server: Callable[..., Any]) -> None:
    server = start_server()
    for first in range(1, 4001, 500):
        send(server, request(range(first, first + 500), MARA))
    send(server, request(range(5001, 5003), "noor"))
    dry = run(server, "forget", "--user", MARA, "--json")
    assert json.loads(dry.stdout) | {"whose": ""} == {
        "id": "", "whose": "", "by": "user", "actor": "", "state": "found", "traces": 4000, "spans": 4000, "scores": 0,
        "copies": [], "change": "", "time_ns": json.loads(dry.stdout)["time_ns"],
    }  # fmt: skip
    asked = subprocess.Popen(
        [sys.executable, "-m", "trimtab", "trace", "forget", "--user", MARA, "--yes", "--server", server.url],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    until(lambda: server.ask("GET", "/api/erasures")[2]["erasures"])
    server.kill()
    asked.wait(30)
    server.start()
    (erasure,) = until(
        lambda: [one for one in server.ask("GET", "/api/erasures")[2]["erasures"] if one["state"] == "done"]
    )
    assert erasure["traces"] == 4000
    left = server.ask("GET", "/api/traces?limit=1000")[2]["traces"]
    assert sorted(int(span["trace_id"], 16) for span in left) == [5001, 5002]
    changes = server.ask("GET", "/api/changes")[2]["changes"]
    (change,) = [change for change in changes if change["kind"] == "data"]
    assert (change["id"], change["after"]) == (erasure["change"], f"user #{erasure['whose']}")
    assert server.ask("GET", "/ledger")[0] == server.ask("GET", "/")[0] == 200
    server.stop()
    kept = b"".join(path.read_bytes() for path in server.data.rglob("*") if path.is_file())
    assert MARA.encode() not in kept
    assert b"noor" in kept


def test_forget_says_what_it_would_do_and_asks_for_one_name(start_server: Callable[..., Any]) -> None:
    server = start_server()
    send(server, request(range(1, 3), "noor", **{"session.id": "s1"}))
    dry = run(server, "forget", "--session", "s1")
    assert "add --yes" in dry.stderr
    assert len(server.ask("GET", "/api/traces")[2]["traces"]) == 2
    assert "The ledger has it as chg_" in run(server, "forget", "--tag", "user=noor", "--yes").stderr
    assert server.ask("GET", "/api/traces")[2]["traces"] == []
    assert run(server, "forget").returncode == 2
