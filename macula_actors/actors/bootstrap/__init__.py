"""What a bootstrap node has besides."""
