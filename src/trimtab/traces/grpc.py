"""OTLP over gRPC: the same receiver behind the Export services of traces and logs, with the same answers.

The messages are opentelemetry-proto's, handed over as bytes, so that no generated service is needed; ``grpcio`` is the
extra ``grpc`` and is loaded only when an address is configured.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trimtab.core import ConfigError, Later, TrimtabError

from .logs import encode_logs_response
from .otlp import encode_response, encode_status
from .receiver import CODES, DECODED_LIMIT, Keep, Receiver, told

if TYPE_CHECKING:
    from . import proto
else:
    proto = Later("trimtab.traces.proto")

_SERVICE = "opentelemetry.proto.collector.{0}.v1.{1}Service"
_DETAILS = "grpc-status-details-bin"
_RETRY_INFO = "type.googleapis.com/google.rpc.RetryInfo"
_UNAUTHENTICATED, _FORBIDDEN = 16, 7
#: Seconds that running requests get when the server ends.
_GRACE_S = 5.0

#: Checks the ``authorization`` that a request brings, and raises Unauthorized or Forbidden.
May = Callable[[str], object]


class GrpcDoor:
    """A listening gRPC server. ``address`` is ``host:port``; ``may`` is asked for each request, None lets all in.

    ``tls`` are the files with the certificate and its key, in PEM; they are read at the start. None encrypts nothing.
    """

    def __init__(
        self, receiver: Receiver, address: str, *, may: May | None = None, tls: tuple[Path, Path] | None = None
    ) -> None:
        self._address, self._may, self._tls, self._server = address, may, tls, None
        self._kept: dict[str, tuple[Keep, Callable[..., bytes]]] = {
            _SERVICE.format("trace", "Trace"): (receiver.spans, encode_response),
            _SERVICE.format("logs", "Logs"): (receiver.logs, encode_logs_response),
        }
        self.port = 0

    async def start(self) -> None:
        """Listen. Raises ConfigError where grpcio is missing, or the address or the certificate cannot be used."""
        try:
            import grpc  # house: import because grpcio is an optional extra and loads slowly
        except ImportError as error:
            raise ConfigError(
                "OTLP over gRPC needs grpcio, which is not installed.",
                field="telemetry.grpc",
                mend="Install trimtab[grpc], or send OTLP over HTTP.",
            ) from error
        server: Any = grpc.aio.server(
            options=(
                ("grpc.max_receive_message_length", DECODED_LIMIT),
                ("grpc.so_reuseport", 0),
            )
        )
        server.add_generic_rpc_handlers(
            tuple(
                grpc.method_handlers_generic_handler(
                    service, {"Export": grpc.unary_unary_rpc_method_handler(self._export(grpc, keep, encode))}
                )
                for service, (keep, encode) in self._kept.items()
            )
        )
        credentials = await asyncio.to_thread(_credentials, grpc, *self._tls) if self._tls else None
        try:
            if credentials is None:
                self.port = server.add_insecure_port(self._address)
            else:
                self.port = server.add_secure_port(self._address, credentials)
        except RuntimeError as error:
            raise ConfigError(
                f"gRPC cannot listen on {self._address}.",
                field="telemetry.grpc",
                mend="Free the port, or name another.",
            ) from error
        await server.start()
        self._server = server

    async def stop(self) -> None:
        """Refuse new requests and let the running ones finish."""
        server, self._server = self._server, None
        if server is not None:
            await server.stop(_GRACE_S)

    def _export(self, grpc: Any, keep: Keep, encode: Callable[..., bytes]) -> Callable[[bytes, Any], Awaitable[bytes]]:
        codes = {code.value[0]: code for code in grpc.StatusCode}

        async def export(body: bytes, context: Any) -> bytes:
            try:
                if self._may is not None:
                    self._may(_authorization(context))
                rejected = await keep(body, False)
            except TrimtabError as error:
                code = code_of(error)
                if error.retryable:
                    context.set_trailing_metadata(((_DETAILS, status_with_retry(code, error)),))
                await context.abort(codes[code], str(error))
                raise
            return encode(len(rejected), told(rejected), json=False)

        return export


def _credentials(grpc: Any, certificate: Path, key: Path) -> Any:
    """What encrypts a port. The pair is tried first, because grpcio refuses a wrong one only when somebody connects."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
        return grpc.ssl_server_credentials(((key.read_bytes(), certificate.read_bytes()),))
    except (OSError, ValueError) as error:  # An SSLError is an OSError.
        raise ConfigError(
            f"{certificate} with the key {key} cannot be used: {error}.",
            field="telemetry.grpc_certificate",
            mend="Name a certificate in PEM and its key, in a file without a password.",
        ) from error


def _authorization(context: Any) -> str:
    sent = {str(name): value for name, value in context.invocation_metadata() or ()}
    value = sent.get("authorization", "")
    return value if isinstance(value, str) else ""


def code_of(error: TrimtabError) -> int:
    """The gRPC code of an error: those that may be tried again are RESOURCE_EXHAUSTED (a limit) and UNAVAILABLE."""
    return {401: _UNAUTHENTICATED, 403: _FORBIDDEN}.get(error.status) or CODES.get(error.status, 2)


def status_with_retry(code: int, error: TrimtabError) -> bytes:
    """A ``google.rpc.Status`` whose details hold a ``RetryInfo``: OTLP's clients back off for that long.

    Field 3 of Status are the details; field 1 of RetryInfo is the delay.
    """
    seconds = max(1.0, error.retry_after or 1.0)
    delay = proto.Duration(seconds=int(seconds), nanos=round(seconds % 1 * 1e9)).SerializeToString()
    detail = proto.Any(type_url=_RETRY_INFO, value=bytes((0x0A, len(delay))) + delay).SerializeToString()
    return encode_status(code, str(error), json=False) + bytes((0x1A, len(detail))) + detail
