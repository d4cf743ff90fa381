"""Choose among the attempts at one problem. Nothing here decides what is right.

* ``best``: the attempt with the highest aggregate of its steps' scores.
* ``majority``: the most frequent answer (Wang et al., self-consistency, arXiv:2203.11171).
* ``weighted``: the answer with the highest sum of aggregates (Li et al., arXiv:2206.02336).
* ``log-weighted``: the same with the odds of the aggregates as weights: a softmax over the
  log-odds, as in particle filtering (Puri et al., arXiv:2502.01618), where their code draws an
  attempt from it and this takes the answer with the largest part.
* ``complexity``: the most frequent answer of the longest attempts (Fu et al., arXiv:2210.00720).
* ``subthought``: the answer that most endings of all subthoughts reach (Hammoud et al.,
  arXiv:2504.20708).
* ``knockout``, ``elimination``: tournaments over verdicts on pairs (tournaments.py).

Ties, between answers and between attempts, go to the one seen first. Attempts without an answer
never form a class. A raw score is compared, but multiplied or voted with only through a map
(vote_maps.py).
"""

from stepkit.core.selection.aggregates import (
    AGGREGATES,
    LOGARITHM,
    OF_PROBABILITIES,
    Aggregate,
    aggregate,
    aggregate_function,
    name_of,
    summable,
)
from stepkit.core.selection.answer_classes import AnswerClass, answer_of, classes
from stepkit.core.selection.candidates import Candidate, candidate_reader, read_candidate
from stepkit.core.selection.ranking import choose
from stepkit.core.selection.selection_settings import METHODS, EarlyErrorFilter, SelectionSettings
from stepkit.core.selection.vote_maps import MAPS, VoteMap, parse_map
from stepkit.core.selection.vote_weights import are_logs, leads, vote_weight

__all__ = [
    "AGGREGATES",
    "LOGARITHM",
    "MAPS",
    "METHODS",
    "OF_PROBABILITIES",
    "Aggregate",
    "AnswerClass",
    "Candidate",
    "EarlyErrorFilter",
    "SelectionSettings",
    "VoteMap",
    "aggregate",
    "aggregate_function",
    "answer_of",
    "are_logs",
    "candidate_reader",
    "choose",
    "classes",
    "leads",
    "name_of",
    "parse_map",
    "read_candidate",
    "summable",
    "vote_weight",
]
