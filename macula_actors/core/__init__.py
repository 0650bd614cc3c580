"""Values and decisions: no loop, no clock, no socket, no process."""
