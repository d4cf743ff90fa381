"""Models behind OpenAI-compatible servers, and draws by batch files."""
