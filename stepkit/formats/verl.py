"""verl: strings for its reward data set and chats for its supervised one, both as Parquet.

Read in 0.9.1: RMDataset and MultiTurnSFTDataset read Parquet only. RMDataset takes the tokens of
prompt and side apart, each with the tokeniser's special tokens: with one that begins a text with a
token, that token stands between prompt and side.
"""

from __future__ import annotations

from stepkit.formats import axolotl, trl

preference = trl.preference
supervised = axolotl.supervised
