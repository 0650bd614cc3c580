"""For tests over any input: it is read or refused, and no other error comes out."""


def unless_refused(function, value):
    """Return ``function(value)``, or None where it raises ValueError."""
    try:
        return function(value)
    except ValueError:
        return None
