"""Names of procedures, under which services are advertised, found and called.

Erlang: macula_rpc_names.
"""

from macula_actors.core import names

__all__ = ["validate_procedure"]


def validate_procedure(name: str) -> None:
    """Check that a service may be advertised under ``name``: no wildcards, case-sensitive.

    Raises:
        ValueError: it is no such name.
    """
    names.validate(name, "procedure name")
