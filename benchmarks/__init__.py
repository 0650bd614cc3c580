"""Benchmarks: what is measured, of whom, and what a number has to be. See README.md."""
