"""How process reward models want to be read: profiles as data.

A profile (profile.py) says how a trace is laid out for a model, where it is read and what the
numbers mean. token_layout.py follows it on a vocabulary, families.py holds those that are
published, recognise.py tells from a model's file which one is its own.
"""
