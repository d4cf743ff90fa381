"""The methods as pure functions of records: trees, counts, labels, pairs, choices, measures.

Knows no models, no files and no command line.

* the tree and its numbers: tree.py (columns), trace.py (what a trace's fields hold), kernels.py and
  jit.py (compiled loops), backups.py, pooling.py, leaves.py;
* statistics: stats.py, changepoint.py, stopping.py (rules that stop draws), calibration.py,
  at_k_curves.py, advantages.py, confidence.py;
* labels/: from evidence to labels; pairs/: from labels and evidence to training rows, whose types
  are in training_rows.py; selection/: choices among attempts; evaluation/: measures of attempts and
  of step scores;
* step_merging.py, response_tokens.py and common_prefix.py: for one purpose each.
"""
