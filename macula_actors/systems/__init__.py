"""The supervisors: which processes there are, in which order they start, and what becomes of one that crashes."""
