"""What flows through the graphs: channels, the state of each machine, the events of a stream."""

from __future__ import annotations
