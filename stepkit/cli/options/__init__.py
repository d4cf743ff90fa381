"""The options of the commands, in groups that belong together."""
