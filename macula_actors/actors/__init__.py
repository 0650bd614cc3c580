"""The actors: one process each, translating messages to decisions of the core and back."""
