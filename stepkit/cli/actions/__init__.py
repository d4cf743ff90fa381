"""What the commands do with the records, a file each."""
