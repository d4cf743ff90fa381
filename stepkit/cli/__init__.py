"""The commands, one file each: options, one function, no logic of their own."""
