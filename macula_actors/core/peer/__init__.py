"""Decisions about peers: who they are, whom to admit, which connections to keep."""
