"""Every error Trimtab raises on purpose.

TrimtabError 500
  BadInput 400            the caller's input is wrong: names the field and the mend
    NotFound 404          no such route, model, prompt, trace, ...
    Conflict 409          somebody else moved it first
    TooLarge 413          the body is over the limit
  MethodNotAllowed 405    the path knows other methods
  Unauthorized 401        no key, or an unknown one
  Forbidden 403           the key may not do this
  GuardRefused 403        a guard policy stopped the request (layer 4)
  LimitReached 429        a rate limit or budget (layer 5)
  Overloaded 503          a queue is full; try again later
  ModelError 502          the model or its vendor failed (layer 1)
    ModelTimeout 504      it did not answer in time
  ConfigError 500         trimtab.yaml or the environment is wrong: names file, line, field and mend
"""

from __future__ import annotations

from .layers import Layer

_ENDS = (".", "!", "?", ":", ";", ",")


class TrimtabError(Exception):
    """The root. ``status`` is the HTTP status, ``layer`` the layer at fault, ``retryable`` whether to try again.

    ``field`` names the input at fault and ``mend`` says what to do about it; both may be empty.
    """

    status: int = 500
    layer: Layer | None = None
    retryable: bool = False
    code: str = "internal_error"

    def __init__(self, message: str, *, field: str = "", mend: str = "", retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.mend = mend
        self.retry_after = retry_after

    def __str__(self) -> str:
        where = f"{self.field}: " if self.field else ""
        if not self.mend:
            return f"{where}{self.message}"
        # The mend is a sentence of its own, whatever the message ends in.
        return f"{where}{self.message}{'' if self.message.endswith(_ENDS) else '.'} {self.mend}"


class BadInput(TrimtabError):
    status = 400
    code = "bad_input"


class NotFound(BadInput):
    status = 404
    code = "not_found"


class Conflict(BadInput):
    status = 409
    code = "conflict"


class TooLarge(BadInput):
    status = 413
    code = "too_large"


class MethodNotAllowed(TrimtabError):
    status = 405
    code = "method_not_allowed"


class Unauthorized(TrimtabError):
    status = 401
    layer = Layer.OPERATIONS
    code = "unauthorized"


class Forbidden(TrimtabError):
    status = 403
    layer = Layer.OPERATIONS
    code = "forbidden"


class GuardRefused(TrimtabError):
    status = 403
    layer = Layer.SAFETY
    code = "guard_refused"


class LimitReached(TrimtabError):
    status = 429
    layer = Layer.OPERATIONS
    retryable = True
    code = "limit_reached"


class Overloaded(TrimtabError):
    status = 503
    layer = Layer.OPERATIONS
    retryable = True
    code = "overloaded"


class ModelError(TrimtabError):
    """``retryable`` is set per instance: a 5xx or a broken connection may be tried elsewhere, a 400 may not.
    ``vendor_request`` is the id by which the vendor finds the request when it is asked about it."""

    status = 502
    vendor_request = ""
    layer = Layer.MODEL
    code = "model_error"

    def __init__(
        self, message: str, *, vendor_status: int = 0, retryable: bool = True, retry_after: float | None = None
    ):
        super().__init__(message, retry_after=retry_after)
        self.vendor_status = vendor_status
        self.retryable = retryable


class ModelTimeout(ModelError):
    status = 504
    code = "model_timeout"


class ConfigError(TrimtabError):
    code = "config_error"
