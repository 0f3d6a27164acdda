"""``trimtab guard approvals`` and ``trimtab guard mcp``: calls that wait for a person, a proxy that screens."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from trimtab.config import environment
from trimtab.core import BadInput
from trimtab.guard import compile_policy
from trimtab.guard.mcp import LONGEST_LINE, Proxy, relay
from trimtab.providers import HttpClient

from .listing import json_option, moment, show_fields, show_json, show_table
from .mcp_http import HttpServer, read_headers
from .policy_file import content_of
from .remote import Remote, server_options

_COLUMNS = {"id": "ID", "tool": "TOOL", "state": "STATE", "user": "KEY", "until": "UNTIL", "why": "WHY"}


@click.group(
    "approvals",
    epilog="\b\nExamples:\n  trimtab guard approvals list\n  trimtab guard approvals approve apr_1f2e --note called",
)
def approvals() -> None:
    """Tool calls that wait for a person. What nobody decides until its deadline is refused."""


@approvals.command("list", epilog="Example:  trimtab guard approvals list --all --json")
@click.option("--all", "every", is_flag=True, help="Also those that are decided or past their deadline.")
@server_options
@json_option
def list_(remote: Remote, every: bool, as_json: bool) -> None:
    """The calls that wait, the most urgent first."""
    found = remote.get("/api/approvals", state="all" if every else "waiting")["approvals"]
    if as_json:
        show_json(found)
        return
    rows = [{**each, "until": moment(each["deadline_ns"]), "why": " ".join(each["reasons"])} for each in found]
    show_table(rows, _COLUMNS, empty="No tool call waits.")


@approvals.command("show", epilog="Example:  trimtab guard approvals show apr_1f2e")
@click.argument("approval")
@server_options
@json_option
def show(remote: Remote, approval: str, as_json: bool) -> None:
    """One call with its arguments."""
    _shown(remote.get(f"/api/approvals/{approval}"), as_json)


@approvals.command("approve", epilog="Example:  trimtab guard approvals approve apr_1f2e --note 'asked the customer'")
@click.argument("approval")
@click.option("--note", default="", help="Why.")
@server_options
@json_option
def approve(remote: Remote, approval: str, note: str, as_json: bool) -> None:
    """Let a call through, once, when the client asks again."""
    _shown(remote.post(f"/api/approvals/{approval}", {"decision": "approve", "note": note}), as_json)


@approvals.command("refuse", epilog="Example:  trimtab guard approvals refuse apr_1f2e --note 'unknown account'")
@click.argument("approval")
@click.option("--note", default="", help="Why.")
@server_options
@json_option
def refuse(remote: Remote, approval: str, note: str, as_json: bool) -> None:
    """Refuse a call."""
    _shown(remote.post(f"/api/approvals/{approval}", {"decision": "refuse", "note": note}), as_json)


@click.command(
    "mcp",
    context_settings={"ignore_unknown_options": True},
    epilog="\b\nExamples:\n  trimtab guard mcp -- python my_server.py\n"
    "  trimtab guard mcp --policy policy.yaml --pins tools.json -- npx some-server --flag\n"
    "  trimtab guard mcp --scope mail-server -- python my_server.py\n"
    "  trimtab guard mcp --header authorization=env:TOOLS_TOKEN https://tools.example.com/mcp",
)
@click.argument("program", metavar="SERVER...", nargs=-1, required=True)
@click.option("--policy", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A policy: YAML or JSON.")
@click.option("--pins", type=click.Path(dir_okay=False, path_type=Path), help="A file that remembers the tools.")
@click.option("--scope", default="", help="Let a running Trimtab keep the pins, under this name.")
@click.option("--said", multiple=True, help="What the user said, where the host knows it.")
@click.option("--no-mark", is_flag=True, help="Do not put marks around results.")
@click.option("--header", "headers", multiple=True, metavar="NAME=VALUE", help="For an address; env:NAME is looked up.")
@server_options
def mcp(  # house: parameters because each is an option of the command
    remote: Remote,
    program: tuple[str, ...],
    policy: Path | None,
    pins: Path | None,
    scope: str,
    said: tuple[str, ...],
    no_mark: bool,
    headers: tuple[str, ...],
) -> None:
    """Start the tool server SERVER and stand between it and the program that started this one.

    SERVER is a command, or the address of a server that speaks the protocol over HTTP. With --scope the pins are kept
    by a running Trimtab: `trimtab guard pins list` shows what changed.
    """
    known = _pins(pins)

    def pinned(tools: Sequence[Mapping[str, Any]]) -> Mapping[str, str]:
        found: Mapping[str, str] = remote.post("/api/guard/pins", {"scope": scope, "tools": list(tools)})["pins"]
        return found

    compiled = compile_policy(content_of(policy) if policy is not None else {"stages": {"action": {}}})
    proxy = Proxy(compiled, said=said, pins=known, pinned=pinned if scope else None, mark=not no_mark)
    address = program[0] if len(program) == 1 and program[0].startswith(("http://", "https://")) else ""
    if headers and not address:
        raise click.UsageError("--header is for a server with an address.")
    known_headers = read_headers(headers, environment())
    code = asyncio.run(_over_http(proxy, address, known_headers) if address else _between(proxy, program))
    if pins is not None:
        pins.write_text(json.dumps(dict(proxy.pins), indent=1) + "\n", encoding="utf-8")
    sys.exit(code)


async def _over_http(proxy: Proxy, address: str, headers: Mapping[str, str]) -> int:
    """Speak to the server at an address until the client ends."""
    http = HttpClient()
    try:
        http.way("POST", address, headers)  # an address that is none is said before anything is read
        server = HttpServer(address, headers, http)
        await relay(
            proxy, client=await _stdin(), to_client=_to_stdout, server=server, to_server=server.send, log=_log
        )  # fmt: skip
    finally:
        await http.close()
    return 0


async def _stdin() -> asyncio.StreamReader:
    client = asyncio.StreamReader(limit=LONGEST_LINE)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(client), sys.stdin)
    return client


def _to_stdout(line: bytes) -> None:
    sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()


def _log(said: str) -> None:
    click.echo(f"trimtab: {said}", err=True)


async def _between(proxy: Proxy, command: tuple[str, ...]) -> int:
    """Run the server until it ends; its exit code."""
    pipe = asyncio.subprocess.PIPE
    try:
        process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, limit=LONGEST_LINE)
    except OSError as error:
        raise BadInput(f"cannot be started: {error.strerror}", field=command[0], mend="Check the command.") from None
    stdin, stdout = process.stdin, process.stdout
    assert stdin is not None
    assert stdout is not None

    def to_server(line: bytes) -> None:
        stdin.write(line) if line else stdin.close()

    try:
        await relay(
            proxy, client=await _stdin(), to_client=_to_stdout, server=stdout, to_server=to_server, log=_log
        )  # fmt: skip
    finally:
        if process.returncode is None and not stdin.is_closing():
            process.terminate()
    return await process.wait()


def _pins(path: Path | None) -> Mapping[str, str]:
    """What a file remembers of the tools. Raises BadInput."""
    if path is None or not path.exists():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError) as error:
        raise BadInput(f"is not JSON: {error}", field=str(path), mend="Delete it to pin anew.") from None
    if not isinstance(found, dict) or not all(isinstance(each, str) for each in found.values()):
        raise BadInput("must be {tool: digest}", field=str(path), mend="Delete it to pin anew.")
    return found


def _shown(found: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        show_json(found)
        return
    told = {**found, "arguments": json.dumps(found["arguments"], ensure_ascii=False), "why": " ".join(found["reasons"])}
    keys = ("id", "state", "tool", "arguments", "why", "user", "route", "policy", "trace_id", "by", "note")
    show_fields({**{key: told[key] for key in keys}, "until": moment(found["deadline_ns"])})
