"""The ``macula`` command: to run nodes, and to look into those that run and tell them what to do."""
