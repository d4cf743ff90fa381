"""From evidence to training rows: the siblings at each prefix, the rules that pick among them, and
which of their rows are kept.

pair_registry.py has the rules by name and carries out a RowPlan, on one record or on the attempts
at one problem. There are three kinds of rules:

* over sibling sets: record_prefixes.py reads a tree by prefixes, siblings.py finds the steps that
  compete at each, step_values.py gives them their values, pair_rules.py picks pairs, and
  pair_filters.py filters, caps and weighs those;
* over one trace (rule_input.py): trace_rows.py, ranked_unpaired.py and corrections.py, by the
  labels that trace_labels.py reads;
* over the attempts at one problem: attempt_pairs.py.

The rows are the types of core/training_rows.py.
"""
