"""From options to what is asked: engines, scorers, judges, guides."""
