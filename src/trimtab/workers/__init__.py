"""Many gateway processes beside one control process: the line between them, and who starts them.

The control process has the data folder open. Gateway workers accept requests on a socket that they all share, read
keys, teams and registry from the metadata database, and hand spans and usage to the control process over a unix
socket. ``docs/decisions/0003-workers.md`` says why.
"""

from .frames import Report
from .link import Link, LinkShared, Sender
from .sockets import CONTROL, PAGES, socket_path
from .supervisor import AT_ONCE, Supervisor
from .switchboard import Switchboard, figures_of

__all__ = [
    "AT_ONCE",
    "CONTROL",
    "PAGES",
    "Link",
    "LinkShared",
    "Report",
    "Sender",
    "Supervisor",
    "Switchboard",
    "figures_of",
    "socket_path",
]
