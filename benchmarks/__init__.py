"""Speed and quality beside a peer, in one run, as ratios."""
