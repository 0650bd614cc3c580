"""Publish and subscribe: topics and their patterns."""
