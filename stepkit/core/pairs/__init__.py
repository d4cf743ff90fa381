"""From evidence to training rows: rivals, the rules that pick among them, and what passes."""
