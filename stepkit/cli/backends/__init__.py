"""From options to opened models: the backends of draws, scorers, judges and searches."""
