"""Local models: one engine that draws and reads, and what a prompt for it looks like."""
