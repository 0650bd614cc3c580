"""Calls: the server that takes them, and the workers that carry them out."""
