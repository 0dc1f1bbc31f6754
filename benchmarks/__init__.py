"""Speed, as ratios in one run: each figure stands beside a floor that ran just before or after it."""
