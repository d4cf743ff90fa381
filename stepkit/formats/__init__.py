"""Foreign formats: a table row and a function each."""
