"""Test an application with real providers on loopback ports that fail as told.

    with simulate(my_cascade, Status(503)) as simulation:  # the first target is down
        response = await simulation.cascade.get_response("Hello")
    assert response.failed_over

Nothing is patched: requests go over real sockets to servers in their own threads, from any event
loop.
"""

from .clock import ManualClock
from .provider import (
    Behaviour,
    BrokenStream,
    CutBody,
    Exchange,
    FakeProvider,
    Garbage,
    Hang,
    Reply,
    Reset,
    Status,
)
from .simulation import Simulation, simulate
from .wires import Request

__all__ = [
    "Behaviour",
    "BrokenStream",
    "CutBody",
    "Exchange",
    "FakeProvider",
    "Garbage",
    "Hang",
    "ManualClock",
    "Reply",
    "Request",
    "Reset",
    "Simulation",
    "Status",
    "simulate",
]
