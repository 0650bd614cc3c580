"""Publish and subscribe: one process for the node, and one for each subscription."""
