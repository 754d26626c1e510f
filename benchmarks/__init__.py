"""Measurements against peers, side by side in one run. `make bench` runs them; the figures to read are ratios."""
