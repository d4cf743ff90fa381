"""The options of the commands: declared in groups, and parsed into one object a group."""
