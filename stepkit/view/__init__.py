"""Traces for people to look at: what a record says, laid out for a page or a terminal.

Pure: records in, plain values, bytes or text out. Nothing here draws, labels or changes a record.
"""
