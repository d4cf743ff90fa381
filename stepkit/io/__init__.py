"""Bytes and records: lines in, records out, sorted on disk, and what outlives a run."""
