"""The Python interface: what notebooks and other programs may rely on.

The nine commands as functions of plain dicts, with the commands' names and defaults, and the
numbers that people compute next to them. A *record* is one JSON object in the shape that man
step-split describes under RECORD FORMAT; a *trace* is a record with a ``response`` and its
``steps``. Functions that change records return new ones and leave those that they are given as they
are; each calls what the command of that name calls, so that both give the same numbers.

Errors: UsageError for an argument that cannot be carried out (messages name options as the commands
spell them), DataError for a record (its place is ``records[INDEX]``, or file and line), FailedError
when reading, writing or a model failed, ValueError for counts and scores that are none.

All of it is also to be had from ``stepkit`` itself; see man 3 stepkit. Nothing heavy is loaded
before it is needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any

from stepkit.errors import DataError, FailedError, StepkitError, UsageError
from stepkit.model_session import ModelSession, open_model
from stepkit.record_lines import lines_of
from stepkit.text.segment_rules import DEFAULT_RULE

if TYPE_CHECKING:
    from stepkit.io.jsonl import Record as Line
    from stepkit.runner.settings import Result

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

Record = dict[str, Any]
Tree = dict[str, Any]
FilePath = str | PathLike[str]


# ---- records ---------------------------------------------------------------------------------


def read_records(*files: FilePath, check: bool = True) -> list[Record]:
    """The records of JSONL files (plain, gzip or zstd; ``-`` is standard input), in order.

    Args:
        check: check each as ``check_record`` does; False takes any JSON object.

    Raises UsageError for a file that cannot be read, DataError with file and line, FailedError.
    """
    return list(iterate_records(*files, check=check))


def iterate_records(*files: FilePath, check: bool = True) -> Iterator[Record]:
    """The same one after another, for files that are larger than the memory."""
    from stepkit.io import lines
    from stepkit.io.records import BadLine, items

    names = [fspath(file) for file in files]
    lines.check(names)
    for block in items(lines.LineReader(names), tolerant=False):
        for item in block:
            if isinstance(item, BadLine):
                raise item.error
            try:
                if check:
                    check_record(item.data)
            except DataError as error:
                raise error.at(item.place) from None
            yield item.data


def write_records(records: Iterable[Record], file: FilePath, *, check: bool = True) -> int:
    """Write records to ``file``, one a line, and return their number.

    The file appears under its name only when all are written; a name that ends in ``.gz`` is
    compressed.

    Args:
        check: check each as ``check_record`` does; False takes any object, as rows for a trainer.

    Raises DataError for a record that is none or has a NaN, UsageError, FailedError.
    """
    from stepkit.io.jsonl import encode
    from stepkit.io.sink import Sink

    count = 0
    with Sink(fspath(file), ()) as sink:
        for record in records:
            try:
                if check:
                    check_record(record)
                sink.write(encode(record) + b"\n")
            except DataError as error:
                raise error.at(f"records[{count}]") from None
            count += 1
    return count


def check_record(record: Mapping[str, Any]) -> None:
    """Raise DataError, naming the field, unless ``record`` is what the commands read.

    Looked at are the fields that stepkit knows: id, group, answer, correct, the steps and their
    roles, the tree, and every column of ``labels`` and ``scores``. Steps may be missing (see
    ``split``); a record without response and tree is a bare problem.
    """
    from stepkit import schema
    from stepkit.core import trace
    from stepkit.core.columns import all_columns

    if not isinstance(record, dict):
        raise DataError(f"expected an object, got {schema.name_of(record)}")
    schema.check_version(record)
    for read in (schema.correct_of, schema.answer_of):
        read(record)
    for key, read_name in (("id", schema.id_of), ("group", schema.group_of)):
        if record.get(key) is not None:
            read_name(record)
    schema.check_tree(record)
    if record.get("response") is None or record.get("steps") is None:
        return
    count = len(schema.steps(record))
    trace.assistant_steps(record, count)
    for column in all_columns(record):
        if column.entry.get("x") is not None:
            column.x(count)


# ---- steps and answers -----------------------------------------------------------------------


def split_text(text: str, by: str = DEFAULT_RULE["by"], **rule: Any) -> list[str]:
    """Cut ``text`` into steps that join to it exactly.

    Args:
        by: block, lines, blank, sentence, marker, regex or cue.
        rule: what goes with it, as in step-split: ``pattern`` and ``start`` with regex,
            ``min_chars``, ``max_steps``, ``code``.

    Raises UsageError for a rule that is none.
    """
    from stepkit.cli.options.segmentation import rule_of
    from stepkit.text.segment import split as cut

    return cut(text, rule_of(by, **rule))


def split(
    records: Iterable[Record],
    by: str | None = None,
    *,
    grade: bool = False,
    force: bool = False,
    field: str | None = None,
    problem: str | None = None,
    thinking: str | None = None,
    score: str | None = None,
    jobs: int = 1,
    **rule: Any,
) -> list[Record]:
    """step-split: cut each response into ``steps``; adds ``id``, ``group`` and ``split``.

    Args:
        by: where a step ends (block), and with it the further settings of ``split_text``, or
            ``size`` with tokens, ``below`` or ``top`` with confidence.
        grade: also fill ``final`` and ``correct`` by comparing with ``answer``.
        force: cut again what carries evidence, and drop that.
        field, problem, thinking: the fields of the text, the problem and a thinking kept apart.
        score: take the tokens from this score.
        jobs: processes that compare answers.

    Raises UsageError for a rule that is none, DataError for a record that cannot be cut.
    """
    from stepkit.cli.actions.split_records import ResponseText, Splitter
    from stepkit.cli.options.segmentation import rule_of
    from stepkit.grade import Grader

    wanted = rule_of(by or DEFAULT_RULE["by"], **rule)
    kept = wanted if by is not None or rule else rule_of("blank")
    splitter = Splitter(wanted, ResponseText(field, thinking, score, problem), force, kept)
    if not grade:
        return _settled(records, splitter.block)
    with Grader(jobs) as grader:
        splitter.grader = grader
        return _settled(records, splitter.block)


def extract_answer(text: str) -> str | None:
    """The final answer in a response (boxed, after "answer is", ...), or None without one."""
    from stepkit.text.answers import extract

    return extract(text)


def same_answer(a: str, b: str) -> bool:
    """Whether two answers mean the same, as a vote counts them; undecided is not the same."""
    from stepkit.grade import same_answer as same

    return same(a, b)


def grade_answer(reference: str, answer: str | None) -> bool | None:
    """Whether ``answer`` is right: True, False, or None when undecided (also without an answer).

    Args:
        reference: the right answer, or a worked solution that ends in it.
    """
    return grade_answers([reference], [answer])[0]


def grade_answers(
    references: Sequence[str], answers: Sequence[str | None], *, jobs: int = 1
) -> list[bool | None]:
    """The same for many, [n] each; what needs math-verify is compared in ``jobs`` processes.

    Raises ValueError when there are not as many answers as references.
    """
    from stepkit.grade import Grader

    with Grader(jobs) as grader:
        verdicts = grader.grade(list(zip(references, answers, strict=True)))
    return [None if verdict is None else verdict == 1.0 for verdict in verdicts]


# ---- trees -----------------------------------------------------------------------------------


def new_tree(steps: Sequence[str] = ()) -> Tree:
    """A tree before any draw: the root, and a node for each of ``steps`` as its spine.

    It is what stands in a record's ``tree``: columns of equal length, node 0 the root, a parent
    before its children.
    """
    from stepkit.core.tree import from_steps

    return from_steps(steps)


def add_sampler(tree: Tree, sampler: str | Mapping[str, Any]) -> int:
    """The index of a sampler in ``tree["samplers"]``, which gets it when it is new.

    Args:
        sampler: its id, or an object with an ``id`` and whatever else decides a draw.
    """
    from stepkit.core.tree import sampler_index

    return sampler_index(tree, {"id": sampler} if isinstance(sampler, str) else sampler)


def add_node(tree: Tree, parent: int, text: str, **columns: Any) -> int:
    """Append a node to ``tree`` in place and return its index.

    Args:
        parent: a node that is there.
        columns: ``whole`` (True, the default: the text to the end of the attempt; False: one step),
            ``finish`` ("stop", "length" or "error" where the attempt ended, "" where it goes on;
            default: "stop" for a whole one), ``outcome`` (1 right, 0 wrong, None undecided),
            ``final``, ``by`` and ``draw`` (index of the sampler and number of the draw; both -1,
            the default, for text that was given), ``cut``, ``tokens``, ``logprob`` (nats).

    Raises ValueError for a node that cannot be.
    """
    from stepkit.core.tree import add

    whole = columns.pop("whole", True)
    finish = columns.pop("finish", "stop" if whole else "")
    return add(tree, parent, text, whole=whole, finish=finish, **columns)


def count_draws(tree: Tree, sampler: str | None = None) -> dict[str, list[Any]]:
    """What was drawn at every node: ``k``, ``n`` and ``undecided``, [nodes] each.

    k is the sum of the outcomes of the n decided whole draws made at that very node; those
    without a verdict are counted apart, failed ones not at all. k / n is the node's value.

    Args:
        sampler: whose draws count, by id or index; None: the only one's.

    Raises DataError for a tree that is none, or of several samplers with none chosen.
    """
    from stepkit import schema
    from stepkit.core import trace
    from stepkit.core import tree as trees

    schema.check_tree({"tree": tree})
    by, _ = trace.choose_sampler(tree, sampler)
    counts = trees.count_draws(trees.build_forest([tree]), [by])
    return {"k": list(counts.k), "n": list(counts.n), "undecided": list(counts.undecided)}


def tree_leaves(tree: Tree) -> list[int]:
    """The nodes at which an attempt ended by itself or was cut off, ascending."""
    from stepkit.core.leaves import leaves

    return leaves(tree)


def tree_path(tree: Tree, node: int) -> list[int]:
    """The nodes from below the root down to ``node``."""
    from stepkit.core.leaves import path

    return path(tree, node)


def leaf_traces(records: Iterable[Record]) -> list[Record]:
    """step-split --leaves: a trace for each attempt in each record's tree.

    Raises DataError for a record without a tree.
    """
    from stepkit.cli.actions.leaf_traces import leaf_records
    from stepkit.runner.run import each

    return _settled(
        records, each(lambda one: leaf_records(one, one.data.get("split") or DEFAULT_RULE))
    )


# ---- labels and rows -------------------------------------------------------------------------


def label(
    records: Iterable[Record],
    labels: str | Sequence[str] = (),
    *,
    first: str | None = None,
    score: str | None = None,
    sampler: str | None = None,
    undecided: str = "apart",
    pool: bool = False,
    nodes: bool = False,
    merge: int | None = None,
) -> list[Record]:
    """step-label: entries of ``labels`` from the draws in each record's ``tree``, or from columns.

    An entry has ``x``, one number or None a step, with the counts ``k``, ``n``, ``undecided`` and
    the ``root`` where it has them; ``first`` is the first wrong step from 0, -1 for none.

    Args:
        labels: names from ``list_labels``, with parameters as in "gae:lambda=0.9", or
            "gae:from=prm" for the numbers of a label or score in place of draws; none: value, hard
            and progress.
        first: also write ``labels.first``, by zero, drop:RHO, below:T, tested, posterior[:P] or
            own.
        score: the label or score that ``first`` reads.
        sampler: whose draws count, by id or index.
        undecided: "apart" leaves draws without a verdict out of n, "wrong" counts them as wrong.
        pool: let backup=pooled, backup=later and over=group use all records of a group.
        nodes: label every node of the trees in ``tree.labels``, too.
        merge: also return each trace up to so many times with two neighbouring steps as one.

    Raises UsageError for a label that is none, DataError for a record without the evidence.
    """
    from stepkit.cli.actions.label_records import label_block, label_group, settings_of

    names = (labels,) if isinstance(labels, str) else tuple(labels)
    settings = settings_of(names, first, score, sampler, undecided, pool, nodes)
    if not pool:
        return _settled(records, lambda block: label_block(block, settings, nodes, merge or 0))
    groups = _groups(lines_of(records))
    labelled = [label_group(group, settings, nodes, merge or 0) for group in groups]
    return [one.data for group in labelled for one in group]


def pairs(
    records: Iterable[Record],
    to: str | None = None,
    rule: str | None = None,
    *,
    scope: str | None = None,
    prompt: str | None = None,
    conversational: bool = False,
    value: str = "draws",
    rank: str = "lower",
    sampler: str | None = None,
    at: str | None = None,
    top: int = 2,
    min_gap: float = 0.0,
    confidence: float = 0.0,
    min_chosen: float | None = None,
    max_rejected: float | None = None,
    verdict: str | None = None,
    repeat_shared: bool = False,
    min_distance: int | None = None,
    match_length: bool = False,
    max_per_set: int | None = None,
    max_per_problem: int | None = None,
    weight: str = "set",
    after_error: str = "keep",
    correction: str = "Wait, that is not right.\n",
    separator: str = "\n",
    tokenizer: FilePath | None = None,
) -> list[Record]:
    """step-pairs: rows for a trainer from records with evidence or labels, each made once.

    Args:
        to: the trainer, one of ``list_trainers``; its keys are those of the rows. None: trl-dpo, or
            trl-kto or plain where the rule's rows need it.
        rule: how to choose, one of ``list_rules``; None: the first one for what the trainer reads.
        tokenizer: a GGUF file whose vocabulary the cut after the prompt must respect.
        scope, prompt, ...: the options of step-pairs, see there.

    What would harm the training (as equal prompts in a row) is given as a Python warning. Files
    that some trainers want next to the rows are written by the command only.

    Raises UsageError for options that exclude each other or make what the trainer would spoil,
    DataError for a record without the evidence.
    """
    options = {name: value for name, value in locals().items() if name != "records"}
    from inspect import signature
    from warnings import warn

    from stepkit.cli.actions.row_options import maker_of, target_of
    from stepkit.runner.run import each

    defaults = signature(pairs).parameters
    given = {name for name, value in options.items() if value != defaults[name].default}
    options["to"] = target_of(to, rule)
    maker = maker_of(options, given, _tokens(tokenizer))
    if maker.plan.of_groups:
        groups = _groups(lines_of(records))
        rows = [one.data for group in groups for one in maker.of_group(group)]
    else:
        rows = _settled(records, each(maker.of_trace))
    for warning in maker.warnings():
        warn(warning, stacklevel=2)
    return rows


def check_rows(
    rows: Iterable[Record],
    to: str,
    *,
    max_length: int | None = None,
    tokenizer: FilePath | None = None,
    separator: str = "\n",
) -> list[str]:
    """step-pairs --check: a line for each thing that the trainer ``to`` would silently spoil.

    Args:
        max_length: where the trainer cuts rows off, in characters, with ``tokenizer`` in tokens.
        separator: what it puts after each step of process reward rows.
    """
    from stepkit.formats.row_checker import RowChecker

    _known(to, list_trainers(), "trainer")
    checker = RowChecker(to, max_length, _tokens(tokenizer), separator)
    found = [str(one.at(f"rows[{i}]")) for i, row in enumerate(rows) for one in checker.row(row)]
    return [*found, *map(str, checker.end())]


def list_labels() -> dict[str, str]:
    """The labels, each with what it says and its source."""
    from stepkit.core.labels.label_registry import LABELS

    return {row.name: f"{row.about} ({row.source})" for row in LABELS}


def list_rules() -> dict[str, str]:
    """The rules of ``pairs``, each with the kind of its rows."""
    from stepkit.core.pairs.pair_registry import RULES

    return {name: rule.kind for name, rule in RULES.items()}


def list_trainers() -> dict[str, str]:
    """The trainers that ``pairs`` writes for, each with what reads the rows."""
    from stepkit.formats.trainer_registry import TARGETS

    return {name: target.about for name, target in TARGETS.items()}


def list_methods() -> dict[str, str]:
    """The methods of ``ModelSession.rollout``, each with what it does."""
    from stepkit.search.method_registry import METHODS

    return {name: method.about for name, method in METHODS.items()}


# ---- choosing and measuring ------------------------------------------------------------------


def aggregate(scores: Sequence[float], how: str = "min") -> float:
    """One number for an attempt from the scores of its steps, [steps], at least one.

    Args:
        how: min, product, mean, last, max, sum, logits, soft-min:t=0.1 or window:size=3,of=mean.

    Raises ValueError for scores that it is not made for, and for a ``how`` that is none.
    """
    from stepkit.core.selection import aggregate as aggregated

    return aggregated(scores, how).value


def vote(answers: Sequence[str | None], weights: Sequence[float] | None = None) -> str | None:
    """The answer of most attempts, or with ``weights`` the one with the highest sum of them.

    Answers that mean the same count together (``same_answer``); None, an attempt without an
    answer, does not vote; ties go to the answer seen first (self-consistency, arXiv:2203.11171;
    weighted, arXiv:2206.02336).

    Args:
        answers: [n]. weights: [n], 0 or more each.

    Raises ValueError for weights that are none, or of another number.
    """
    from stepkit.core.selection import Candidate, SelectionSettings, choose

    orders: Sequence[float | None] = [None] * len(answers) if weights is None else weights
    if weights is not None and not all(0 <= weight < float("inf") for weight in weights):
        raise ValueError("weights are 0 or more")
    by = "majority" if weights is None else "weighted"
    voters = zip(answers, orders, strict=True)
    candidates = [Candidate(answer, "", order) for answer, order in voters]
    notes = choose(candidates, SelectionSettings(by, "mean"), same_answer, 1)
    chosen = next((note for note in notes if note is not None), None)
    return chosen["answer"] if chosen and chosen["votes"] else None


def rerank(
    records: Iterable[Record],
    by: str = "best",
    *,
    aggregate: str | None = None,
    map: str | None = None,
    score: str | None = None,
    longest: int | None = None,
    drop_before: str | None = None,
    label: str | None = None,
    keep: int | None = 1,
) -> list[Record]:
    """step-rerank: of the attempts of each group the chosen one, with the reasons in ``choice``.

    Args:
        by: best, majority, weighted, log-weighted, complexity, subthought, knockout, elimination.
        aggregate: how the scores of the steps become one number (min), as in ``aggregate``.
        map: how scores that are no probabilities vote: sigmoid, softmax:t=1, rank:p=1.
        score: the column to use, a score or a label; None: the only score there.
        longest, drop_before, label: as in step-rerank.
        keep: write the first so many of each group; None: all, with their ranks.

    Raises UsageError for an option without effect, DataError for an attempt that lacks what the
    method looks at.
    """
    from stepkit.cli.actions.rank_groups import GroupRanking, settings_of
    from stepkit.core.selection import METHODS

    _known(by, METHODS, "way to choose")
    settings = settings_of(by, aggregate, score, longest, drop_before, label, _map(map))
    ranking = GroupRanking(settings, keep)
    return [one.data for group in _groups(lines_of(records)) for one in ranking(group)]


def evaluate(
    records: Iterable[Record],
    *,
    curves: Sequence[str] = (),
    k: Sequence[int] = (),
    score: Sequence[str] = (),
    aggregate: Sequence[str] = ("min",),
    map: Sequence[str] = (),
    against: Sequence[str] = (),
    undecided: str = "wrong",
    intervals: bool = True,
    seed: int = 1,
) -> list[Record]:
    """step-eval: what choosing among graded attempts brings, a row a measure.

    A row has ``measure``, ``k``, ``score`` and ``aggregate`` where they apply, ``value`` (a share
    from 0 to 1) and the bounds ``low`` and ``high`` of its 95 % interval over problems.

    Args:
        curves: of pass, majority, best, weighted, log-weighted; none: those that can be had.
        k: numbers of attempts, rising; none: powers of two.
        score, aggregate: which columns, and how they become one number; none: all scores.
        map: how scores that are no probabilities vote, as in ``rerank``.
        against: also the differences to "single" or "majority".
        undecided: attempts without a verdict are "wrong", or left out ("apart").
        intervals: False leaves out ``low`` and ``high``.
        seed: of random subsets.

    Raises DataError when nothing can be measured, UsageError for a name that is not there.
    """
    from stepkit.cli.actions.evaluate import CollectedAttempts
    from stepkit.core.evaluation.attempts import AttemptFields
    from stepkit.core.evaluation.measure_types import ReportOptions
    from stepkit.core.evaluation.report import report
    from stepkit.runner.run import each

    options = ReportOptions(
        curves=tuple(curves),
        ks=tuple(k),
        aggregates=tuple(aggregate),
        maps=tuple(one for text in map if (one := _map(text)) is not None),
        against=tuple(against),
        undecided=undecided,
        intervals=intervals,
        seed=seed,
    )
    names = {name: name for name in score}
    fields = AttemptFields(names, options.aggregates, options.maps or (None,))
    collected = CollectedAttempts(fields)
    _settled(records, each(collected.take))
    if not collected.attempts:
        raise DataError("no records: nothing to measure")
    return report(collected.attempts, options, same_answer)


def pass_at_k(correct: Sequence[bool | float | None], k: int) -> float:
    """The chance that any of ``k`` attempts is right, without bias from n at one problem.

    1 - C(n - c, k) / C(n, k) with c right ones (Chen et al., arXiv:2107.03374, eq. 1).

    Args:
        correct: [n] verdicts; None counts as wrong.

    Raises ValueError unless 1 <= k <= n.
    """
    from stepkit.core.at_k_curves import pass_at

    return pass_at(_right(correct), k).value


def best_of_k(scores: Sequence[float], correct: Sequence[bool | float | None], k: int) -> float:
    """The chance that the attempt with the highest score of ``k`` is right.

    The exact mean over all subsets of k of the n attempts at one problem; ties are shared.

    Args:
        scores: [n] whatever attempts are compared by.
        correct: [n] verdicts; None counts as wrong.

    Raises ValueError unless 1 <= k <= n, and for another number of scores.
    """
    from stepkit.core.at_k_curves import best_at

    return best_at(scores, _right(correct), k).value


def vote_at_k(
    answers: Sequence[str | None],
    correct: Sequence[bool | float | None],
    k: int,
    weights: Sequence[float] | None = None,
    *,
    seed: int = 0,
) -> float:
    """The chance that the vote of ``k`` attempts at one problem is right (see ``vote``).

    The exact mean over all subsets of k of n; with weights, beyond 20,000 subsets, that over 4,000
    random ones. Judged is the attempt with the winning answer and the highest weight, or one of
    them without weights; where no attempt has an answer, one of all.

    Args:
        answers: [n], None without one; those that mean the same count together.
        correct: [n] verdicts; None counts as wrong.
        weights: [n], 0 or more each.

    Raises ValueError unless 1 <= k <= n.
    """
    from stepkit.core.at_k_curves import Ballots, fixed_weights, majority_at, weighted_at
    from stepkit.core.evaluation.selection_curves import answer_numbers

    numbers = answer_numbers(answers, same_answer)
    if weights is None:
        return majority_at(numbers, _right(correct), [k], seed)[0].value
    ballots = Ballots(numbers, _right(correct), weights, fixed_weights(weights))
    return weighted_at(ballots, k, seed).value


def wilson(k: float, n: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's interval (low, high) for a rate of which k of n were seen; (0, 1) when n is 0.

    Args:
        z: half its width in standard deviations; 1.96 makes 95 %.

    Raises ValueError unless 0 <= k <= n.
    """
    from stepkit.core.stats import wilson as interval

    return interval(k, n, z)


def probability_better(k_a: int, n_a: int, k_b: int, n_b: int) -> float:
    """The chance that rate a is above rate b, by k of n each, under uniform priors.

    Raises ValueError unless 0 <= k <= n on both sides.
    """
    from stepkit.core.stats import probability_better as better

    return better(k_a, n_a, k_b, n_b)


# ---- from dicts to the records of the commands and back --------------------------------------


def _settled(records: Iterable[Record], block: Any) -> list[Record]:
    """What a block function makes of the records. Raises the first error that it returns."""
    lines = lines_of(records)
    results: Sequence[Result] = block(lines) if lines else ()
    found: list[Record] = []
    for line, result in zip(lines, results, strict=True):
        if isinstance(result, DataError):
            raise result.at(line.place)
        found += [one.data for one in result]
    return found


def _groups(lines: Sequence[Line]) -> list[list[Line]]:
    """The records by group, wherever they stand; groups in the order of their first records."""
    from stepkit.schema import group_of

    groups: dict[str, list[Line]] = {}
    for line in lines:
        try:
            groups.setdefault(group_of(line.data), []).append(line)
        except DataError as error:
            raise error.at(line.place) from None
    return list(groups.values())


def _tokens(path: FilePath | None) -> Any:
    """The token ids of texts in a model's vocabulary, as trainers read them."""
    if path is None:
        return None
    from stepkit.cli.backends.fetch_models import fetch_missing
    from stepkit.model.backend import trainer_tokens
    from stepkit.model_session import warning_streams

    fetch_missing(warning_streams(), {"tokenizer": fspath(path)})
    return trainer_tokens(fspath(path), "tokenizer")


def _right(correct: Sequence[bool | float | None]) -> list[float]:
    return [float(one or 0) for one in correct]


def _map(text: str | None) -> Any:
    """The map of scores that ``text`` asks for. Raises UsageError."""
    from stepkit.core.selection import parse_map

    try:
        return None if text is None else parse_map(text)
    except ValueError as error:
        raise UsageError(f"map {text}: {error}") from None


def _known(name: str, names: Iterable[str], what: str) -> None:
    """Raise UsageError for a name that is none of them."""
    if name not in names:
        raise UsageError(f'no {what} "{name}"; there are {", ".join(names)}')
