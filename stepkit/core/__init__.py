"""The methods as pure functions of records: trees, counts, labels, pairs, choices.

Knows no models, no files and no command line.
"""
