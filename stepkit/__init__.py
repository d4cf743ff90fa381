"""stepkit: step-level supervision of language-model reasoning, as small Unix tools.

The names of ``__all__`` are the Python interface (stepkit/api.py, man 3 stepkit); they are loaded
when they are first used, so that a command starts without them.
"""

TYPE_CHECKING = False  # what type checkers take for true; typing itself need not be loaded

__version__ = "0.1.0"

__all__ = [
    "DataError",
    "FailedError",
    "ModelSession",
    "StepkitError",
    "UsageError",
    "add_node",
    "add_sampler",
    "aggregate",
    "best_of_k",
    "check_record",
    "check_rows",
    "count_draws",
    "evaluate",
    "extract_answer",
    "grade_answer",
    "grade_answers",
    "iterate_records",
    "label",
    "leaf_traces",
    "list_labels",
    "list_methods",
    "list_rules",
    "list_trainers",
    "new_tree",
    "open_model",
    "pairs",
    "pass_at_k",
    "probability_better",
    "read_records",
    "rerank",
    "same_answer",
    "split",
    "split_text",
    "tree_leaves",
    "tree_path",
    "vote",
    "vote_at_k",
    "wilson",
    "write_records",
]

if TYPE_CHECKING:
    from stepkit.api import *
else:

    def __getattr__(name):
        if name not in __all__:
            raise AttributeError(f"module 'stepkit' has no attribute {name!r}")
        from stepkit import api

        return getattr(api, name)

    def __dir__():
        return sorted({*globals(), *__all__})
