"""The process that finds out who is alive."""
