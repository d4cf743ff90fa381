"""What groups of judged and scored attempts show: curves, audits of step scores, protocols.

reading.py takes from each record what is measured. choosing.py, audits.py and judging.py make
statistics of it, by curves.py, stepwise.py and protocols.py; bootstrap.py gives these their
intervals, and report.py makes rows of them. fitting.py makes and reads calibration maps.
"""
