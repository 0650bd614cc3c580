"""The mesh: nodes that find, call and tell each other without a broker. Nothing of it is here yet."""

__all__: list[str] = []
