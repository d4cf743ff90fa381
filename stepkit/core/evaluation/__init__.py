"""What groups of judged and scored attempts show: curves, audits of step scores, protocols.

attempts.py takes from each record what is measured. selection_curves.py, step_report.py and
benchmark_scores.py make statistics of it, by core/at_k_curves.py, step_metrics.py and protocols.py;
bootstrap.py gives these their intervals, and report.py makes rows of them. calibration_map.py makes
and reads calibration maps.
"""
