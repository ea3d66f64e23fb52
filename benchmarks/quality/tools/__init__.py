"""One adapter a tool; each runs in the tool's own environment and knows the neutral folder only."""
