"""stepkit: step-level supervision of language-model reasoning, as small Unix tools."""

__version__ = "0.1.0"
