"""Remote calls: names, routing, fail-over."""
