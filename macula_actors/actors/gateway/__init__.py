"""What a gateway does for its clients: it knows them, relays for them, calls for them, and says how it is."""
