"""OpenAI's responses: ``POST /v1/responses``. What is stored is stored by the provider, if it speaks them too."""

from __future__ import annotations

from trimtab.gateway.wire import error_bytes

from .responses_read import read_responses_ask
from .responses_stream import ResponsesWriter
from .responses_write import response_bytes
from .surface import Surface

RESPONSES_SURFACE = Surface(read=read_responses_ask, whole=response_bytes, writer=ResponsesWriter, error=error_bytes)
