"""The mesh: nodes that find, call and tell each other without a broker. So far its pure core, see `core`."""

__all__: list[str] = []
