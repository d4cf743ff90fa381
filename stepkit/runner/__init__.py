"""The work of every command between its options and its one function."""
