#!/usr/bin/env python3
"""report.py RESULTS: the table of one line a seed and method, and what each method gained over the examples alone. Ends with 1 unless every gain is above 0, and with three seeds
or more unless policy learning gained 10 points and the 95 % interval of its gain (Student's t over the seeds) lies above 0."""
import collections
import json
import math
import sys

T95 = {2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365}  # by degrees of freedom

shares = collections.defaultdict(dict)
for line in open(sys.argv[1]):
    row = json.loads(line)
    shares[row["method"]][row["seed"]] = 100 * row["right"] / row["count"]
seeds = sorted(shares["sft"])
print(f"{'held-out tasks right, %':28}" + "".join(f"seed {seed:<6}" for seed in seeds))
for method, title in [("sft", "examples"), ("grpo", "then policy learning"), ("odpo", "or preferences")]:
    print(f"{title:28}" + "".join(f"{shares[method][seed]:<11.1f}" for seed in seeds))
failed = False
for method, title, wanted in [("grpo", "policy learning", 10.0), ("odpo", "preferences", 0.0)]:
    gains = [shares[method][seed] - shares["sft"][seed] for seed in seeds]
    mean = sum(gains) / len(gains)
    text = f"{title} gained {mean:+.1f} points"
    low = None
    if len(gains) - 1 in T95:
        half = T95[len(gains) - 1] * math.sqrt(sum((g - mean) ** 2 for g in gains) / (len(gains) - 1) / len(gains))
        low = mean - half
        text += f", 95 % interval {low:+.1f} to {mean + half:+.1f}"
    print(text)
    failed |= mean <= 0 or (low is not None and (mean < wanted or low <= 0))
sys.exit(failed)
