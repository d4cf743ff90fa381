"""Models on OpenAI-compatible servers, and draws by batch files."""
