"""What every command does between its options and its one function."""
