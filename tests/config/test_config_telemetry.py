"""What the file says of masking, retention and sending on."""

from __future__ import annotations

from pathlib import Path

import pytest

from trimtab.config import load
from trimtab.core import ConfigError
from trimtab.traces import KINDS, Masking


def read(tmp_path: Path, text: str, env: dict[str, str] | None = None):  # type: ignore[no-untyped-def]
    path = tmp_path / "trimtab.yaml"
    path.write_text(text)
    return load(path, env or {}).telemetry


def test_nothing_said_masks_nothing_and_keeps_everything(tmp_path: Path) -> None:
    telemetry = read(tmp_path, "owners: {default: mara}\n")
    assert (telemetry.masks, telemetry.keep_days, telemetry.otlp_endpoint) == (False, 0, "")
    assert (telemetry.share, dict(telemetry.project_shares), telemetry.grpc) == (1.0, {}, "")


def test_all_of_it(tmp_path: Path) -> None:
    telemetry = read(
        tmp_path,
        "privacy: {mask: [email, card], projects: {open: [], bank: [iban]}}\n"
        "retention: {days: 30}\n"
        "sampling: {share: 0.1, projects: {bank: 1, crawler: 0.01}, low: 0.4, after: 30m}\n"
        "telemetry: {grpc: '[::1]:4317'}\n"
        'export: {otlp: {endpoint: "http://collector:4318", headers: {x-key: "env:COLLECTOR_KEY"}}}\n',
        {"COLLECTOR_KEY": "canary"},
    )
    assert (telemetry.mask, dict(telemetry.mask_projects)) == (("email", "card"), {"open": (), "bank": ("iban",)})
    assert (telemetry.keep_days, telemetry.otlp_endpoint) == (30, "http://collector:4318")
    assert (telemetry.share, dict(telemetry.project_shares)) == (0.1, {"bank": 1.0, "crawler": 0.01})
    assert (telemetry.low, telemetry.decide_after_s) == (0.4, 1800.0)
    assert (telemetry.grpc, telemetry.grpc_is_local) == ("[::1]:4317", True)
    assert dict(telemetry.otlp_headers) == {"x-key": "canary"}
    assert "canary" not in repr(telemetry)


def test_a_certificate_for_the_grpc_address(tmp_path: Path) -> None:
    text = "telemetry: {grpc: 'localhost:4317', grpc_certificate: tls/cert.pem, grpc_key: tls/key.pem}\n"
    assert read(tmp_path, text).grpc_tls == (Path("tls/cert.pem"), Path("tls/key.pem"))
    assert read(tmp_path, "telemetry: {grpc: 'localhost:4317'}\n").grpc_tls is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("privacy: {mask: [mail]}\n", "mail"),
        ("privacy: {masks: [email]}\n", "masks"),
        ("retention: {days: -1}\n", "retention.days"),
        ("retention: {days: 99999}\n", "retention.days"),
        ("sampling: {share: 1.5}\n", "sampling.share"),
        ("sampling: {low: -1}\n", "sampling.low"),
        ("sampling: {projects: {shop: 2}}\n", "sampling.projects.shop"),
        ("sampling: {after: soon}\n", "sampling.after"),
        ("sampling: {rate: 1}\n", "rate"),
        ('telemetry: {grpc: "4317"}\n', "telemetry.grpc"),
        ('telemetry: {grpc: "localhost:0"}\n', "telemetry.grpc"),
        ('telemetry: {grpc: "localhost:99999"}\n', "telemetry.grpc"),
        ('telemetry: {grpc: "localhost:4317", grpc_key: key.pem}\n', "telemetry.grpc_certificate"),
        ('telemetry: {grpc: "localhost:4317", grpc_certificate: a.pem}\n', "telemetry.grpc_key"),
        ("telemetry: {grpc_certificate: a.pem, grpc_key: key.pem}\n", "telemetry.grpc"),
        ("export: {otlp: {endpoint: collector}}\n", "export.otlp.endpoint"),
        ('export: {otlp: {endpoint: "http://u:p@c:4318"}}\n', "export.otlp.endpoint"),
        ('export: {otlp: {endpoint: "http://c", headers: {k: "env:MISSING"}}}\n', "MISSING"),
    ],
)
def test_errors_name_the_field(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    assert says in str(caught.value)


def test_the_file_knows_what_can_be_masked(tmp_path: Path) -> None:
    telemetry = read(tmp_path, f"privacy: {{mask: [{', '.join(KINDS)}]}}\n")
    assert Masking(kinds=telemetry.mask).kinds == KINDS


@pytest.mark.parametrize(
    ("address", "local"),
    [("127.0.0.1:4317", True), ("localhost:4317", True), ("0.0.0.0:4317", False), ("[::]:4317", False)],
)
def test_who_can_reach_the_grpc_address(tmp_path: Path, address: str, local: bool) -> None:
    assert read(tmp_path, f"telemetry: {{grpc: '{address}'}}\n").grpc_is_local is local


def test_a_collectors_key_may_stand_in_a_file_of_its_own(tmp_path: Path) -> None:
    secret = tmp_path / "collector.key"
    secret.write_text("canary\n")
    text = f'export: {{otlp: {{endpoint: "http://collector:4318", headers: {{x-key: "file:{secret}"}}}}}}\n'
    assert read(tmp_path, text).otlp_headers == {"x-key": "canary"}


def test_addresses_that_are_secrets_may_stand_in_files_of_their_own(tmp_path: Path) -> None:
    secret = tmp_path / "hook.url"
    secret.write_text("https://hooks.example/canary\n")
    path = tmp_path / "trimtab.yaml"
    path.write_text(
        f"notify: {{heartbeat: 'file:{secret}', channels: {{team: {{kind: slack, url: 'file:{secret}'}}}}}}\n"
    )
    said = load(path, {}).paging.said
    assert (said.heartbeat, said.channels["team"].url) == ("https://hooks.example/canary",) * 2
