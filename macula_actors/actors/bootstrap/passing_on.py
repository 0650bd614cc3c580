"""How a request is passed on to a process that is found by name at each use (D-06)."""

from supervisors import From, NoProcess, NoReply, Refuse, ServerDownError, forward, whereis

__all__ = ["pass_on"]


def pass_on(name: str, request: object, from_: From) -> NoReply | Refuse:
    """Have the process ``name`` answer; if it is being restarted, who asked may ask again."""
    server = whereis(name)
    if server is None:
        return Refuse(ServerDownError(NoProcess(), name))
    forward(from_, server, request)
    return NoReply()
