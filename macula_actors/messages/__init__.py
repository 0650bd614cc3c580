"""What the actors are asked, and the functions that ask: each server's requests and its client functions."""
