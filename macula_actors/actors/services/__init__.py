"""Services: those of this node, and who provides those of others."""
