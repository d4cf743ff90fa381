"""External programs that check steps, which take requests like a model."""
