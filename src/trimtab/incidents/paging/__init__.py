"""Paging: who is told of an incident, when and by which way; and who is told next when nobody answers."""

from .channels import KINDS, Channel, Person, Quiet, Rota
from .pager import Pager
from .payloads import Message, message_of
from .plan import Notice, due_ns, escalated_to, planned

__all__ = [
    "KINDS",
    "Channel",
    "Message",
    "Notice",
    "Pager",
    "Person",
    "Quiet",
    "Rota",
    "due_ns",
    "escalated_to",
    "message_of",
    "planned",
]
