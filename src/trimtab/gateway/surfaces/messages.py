"""Anthropic's messages: ``POST /v1/messages`` and ``POST /v1/messages/count_tokens``."""

from __future__ import annotations

from .messages_read import read_count_ask, read_messages_ask
from .messages_stream import MessagesWriter
from .messages_write import count_bytes, count_headers, error_bytes, message_bytes
from .surface import Surface

_REQUEST_ID = b"request-id"

MESSAGES_SURFACE = Surface(
    read=read_messages_ask, whole=message_bytes, writer=MessagesWriter, error=error_bytes, request_id=_REQUEST_ID
)
COUNT_SURFACE = Surface(
    read=read_count_ask, whole=count_bytes, writer=MessagesWriter, error=error_bytes, headers=count_headers,
    request_id=_REQUEST_ID,
)  # fmt: skip
