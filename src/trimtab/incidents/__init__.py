"""From an alarm to a lesson: incidents with an owner, a cause, an action, a timeline and regression cases."""

from .desk import DATASET, Desk
from .incident import STATES, Incident, IncidentEvent, State, blamed
from .loop import Loop
from .replay import Replay
from .routes import routes

__all__ = ["DATASET", "STATES", "Desk", "Incident", "IncidentEvent", "Loop", "Replay", "State", "blamed", "routes"]
