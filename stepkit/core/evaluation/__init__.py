"""What groups of judged and scored attempts show: curves, audits of step scores, protocols.

attempts.py takes from each record what is measured. selection_curves.py, step_report.py and
benchmark_scores.py make estimates of it, by core/at_k_curves.py, step_metrics.py and protocols.py;
intervals.py says how sure these are, and report.py makes rows of them. calibration_map.py makes
and reads calibration maps.
"""
