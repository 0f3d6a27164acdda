"""From an alarm to a lesson: incidents with an owner, a cause, an action, a timeline and regression cases."""

from .desk import DATASET, Desk
from .incident import STATES, Incident, IncidentEvent, State, blamed
from .loop import Loop
from .paging import Channel, Pager, Person, Quiet, Rota
from .paging.routes import routes as paging_routes
from .recovery import Recovery, recovery
from .replay import Replay
from .routes import routes
from .sentences import recovered

__all__ = [
    "DATASET",
    "STATES",
    "Channel",
    "Desk",
    "Incident",
    "IncidentEvent",
    "Loop",
    "Pager",
    "Person",
    "Quiet",
    "Recovery",
    "Replay",
    "Rota",
    "State",
    "blamed",
    "paging_routes",
    "recovered",
    "recovery",
    "routes",
]
