"""The socket, the connections on it, and who finds the right one."""
