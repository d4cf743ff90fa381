"""Traces for people to look at: the fields of a record, laid out for a page or a terminal.

Pure: records in, plain values, bytes or text out. Nothing here draws, labels or changes a record.
"""
