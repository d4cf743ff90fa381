"""Rows for trainers: a module and a table row for each trainer, and the check of such rows."""
