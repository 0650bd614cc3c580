"""Who is alive: SWIM."""
