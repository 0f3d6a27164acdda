"""From an alarm to a lesson: incidents with an owner, a cause, an action, a timeline and regression cases."""

from .acting import Offer
from .actions import TITLES, Wanted
from .desk import DATASET, Desk
from .figures import Figures, figures
from .incident import LIVE, MACHINE, STATES, Deed, Incident, IncidentEvent, Pair, State, blamed, causes
from .loop import Loop
from .monitor_routes import routes as monitor_routes
from .outside import Sign
from .paging import Burner, Channel, Pager, Person, Quiet, Rota
from .paging.routes import routes as paging_routes
from .recovery import Recovery, recovery
from .replay import Again, Replay
from .routes import routes
from .sentences import answers_of, recovered, together
from .watching import MonitorRow, SliceSight, row_of, rows, sights, unreachable

__all__ = [
    "DATASET",
    "LIVE",
    "MACHINE",
    "STATES",
    "TITLES",
    "Again",
    "Burner",
    "Channel",
    "Deed",
    "Desk",
    "Figures",
    "Incident",
    "IncidentEvent",
    "Loop",
    "MonitorRow",
    "Offer",
    "Pager",
    "Pair",
    "Person",
    "Quiet",
    "Recovery",
    "Replay",
    "Rota",
    "Sign",
    "SliceSight",
    "State",
    "Wanted",
    "answers_of",
    "blamed",
    "causes",
    "figures",
    "monitor_routes",
    "paging_routes",
    "recovered",
    "recovery",
    "routes",
    "row_of",
    "rows",
    "sights",
    "together",
    "unreachable",
]
