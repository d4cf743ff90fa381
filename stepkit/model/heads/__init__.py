"""Heads of hidden-state process reward models: read, written, put into a GGUF."""
