"""Masks for large collections: thousands of clips, one process or many machines, every output written once."""
