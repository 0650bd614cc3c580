"""Calls measured: direct, routed, relayed, by many, cold; and what a node of each mode takes to be there."""
