"""What groups of judged and scored attempts show: curves, audits of step scores, protocols.

reading.py takes from each record what is measured; choosing.py, stepwise.py and protocols.py make
statistics of it, which bootstrap.py gives their intervals; report.py decides which of them the
records allow and makes rows.
"""
