"""Text alone: where a solution is cut into steps, and what its final answer is.

Pure functions; nothing here knows models, files or processes.
"""
