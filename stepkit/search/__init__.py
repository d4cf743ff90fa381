"""Ways to gather evidence: one scheduler and one short generator per published method."""
