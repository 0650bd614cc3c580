"""How who runs a node looks into it and tells it what to do: over a Unix socket that is the owner's alone."""
