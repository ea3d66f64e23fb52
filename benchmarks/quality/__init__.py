"""Quality of what is found in the same time, beside other tools: one file, one clock, one scorer."""
