"""External programs that check steps, asked like a model."""
