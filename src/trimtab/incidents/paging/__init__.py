"""Paging: who is told of an incident, when and by which way; and who is told next when nobody answers."""

from .burn import WINDOWS, Burning, Window, burning
from .burner import Burner
from .channels import KINDS, Channel, Person, Quiet, Rota
from .pager import Pager
from .payloads import Message, message_of
from .plan import Notice, due_ns, escalated_to, planned

__all__ = [
    "KINDS",
    "WINDOWS",
    "Burner",
    "Burning",
    "Channel",
    "Message",
    "Notice",
    "Pager",
    "Person",
    "Quiet",
    "Rota",
    "Window",
    "burning",
    "due_ns",
    "escalated_to",
    "message_of",
    "planned",
]
