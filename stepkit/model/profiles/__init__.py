"""How process reward models are read: profiles as data.

A profile (profile.py) describes how a trace is laid out for a model, where it is read and what the
numbers mean. token_layout.py applies it to a vocabulary, families.py holds the published ones,
recognise.py finds the profile of a model's file.
"""
