"""QUIC as a plain asyncio library: sockets, engines, endpoints, connections. No actors."""
