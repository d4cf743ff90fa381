"""The published search methods, a file each."""
