"""Speed, as ratios against something named, measured in one run: ``python -m benchmarks``."""
