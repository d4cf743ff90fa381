"""A model that is opened once and then asked: the part of the Python interface that runs models.

A session does what step-rollout and step-score do, with the same engine, the same seeds and so the
same numbers; there is no journal: what an interrupted call has drawn is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any
from warnings import warn

from stepkit.errors import DataError, UsageError

if TYPE_CHECKING:
    from stepkit.cli.actions.session import SessionWork
    from stepkit.io.jsonl import Record as Line
    from stepkit.model.local.llama import Model
    from stepkit.runner.settings import ModelOptions, StreamOptions

Record = dict[str, Any]
FilePath = str | PathLike[str]


def open_model(
    path: FilePath,
    *,
    gpu_layers: int = 0,
    threads: int | None = None,
    slots: int | None = None,
    context: int | None = None,
    batch: int | None = None,
    fast: bool = False,
    main_gpu: int | None = None,
    tensor_split: Sequence[float] = (),
) -> ModelSession:
    """Load a model, to draw from it or to score with it; use it as a context manager.

    Args:
        path: a GGUF file, or the name of a model: ``hf:OWNER/REPO[:FILE or QUANT][@REVISION]``,
            which is fetched if it is not in the cache (huggingface_hub: the extra ``hf``),
            ``ollama:NAME[:TAG]``, ``lmstudio:PUBLISHER/MODEL`` or ``llama.cpp:OWNER/REPO``.
        gpu_layers: layers on the GPU; -1 is all.
        threads: CPU threads; None: the cores available.
        slots: sequences decoded together; None: by what is drawn and the free memory.
        context: tokens, with the prompt, that end a draw or refuse a request; None: what the model
            was trained for.
        batch: tokens evaluated together; None: as many as are fast.
        fast: faster, but draws depend a little on what else is drawn.
        main_gpu, tensor_split: the one GPU to use, or shares of the model on each.

    Raises UsageError for a model that is not there or no GGUF, FailedError when it cannot be
    fetched or llama.cpp cannot load it.
    """
    from stepkit.runner.command import cores
    from stepkit.runner.settings import ModelOptions

    options = ModelOptions(
        fspath(path),
        gpu_layers=gpu_layers,
        threads=threads or cores(),
        slots=slots,
        context=context,
        batch=batch,
        fast=fast,
        main_gpu=main_gpu,
        tensor_split=tuple(tensor_split),
    )
    return ModelSession(options)


class ModelSession:
    """A loaded model; see ``open_model``."""

    def __init__(self, options: ModelOptions) -> None:
        from stepkit.cli.backends.fetch_models import fetch_missing
        from stepkit.model import backend

        assert options.model is not None
        self._path, self._options = options.model, options
        self._streams = warning_streams()
        fetch_missing(self._streams, {"model": self._path})
        self._opened: Model | None = backend.open_model(self._path, options, "model")

    def __enter__(self) -> ModelSession:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the model. May be called twice; a closed session cannot be asked any more."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    @property
    def _model(self) -> Model:
        if self._opened is None:
            raise UsageError(f"{self._path}: the session is closed")
        return self._opened

    def draw(self, problems: Iterable[str | Record], k: int = 8, **options: Any) -> list[Record]:
        """``step-rollout --method sample``: k whole attempts at each problem, a trace each.

        Attempts at one problem stand together, in the order of their numbers. With an ``answer``
        they are graded (``final``, ``correct``).

        Args:
            problems: texts, or records with a ``problem``. The model's chat template, or
                ``prompt``, lays them out.
            options: as of ``rollout``.

        Raises DataError, UsageError, FailedError.
        """
        records = [{"problem": one} if isinstance(one, str) else one for one in problems]
        return self.rollout(records, "sample", k=k, **options)

    def rollout(
        self,
        records: Iterable[Record],
        method: str | None = None,
        *,
        k: int | None = None,
        seed: int = 1,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        min_p: float = 0.0,
        repetition_penalty: float = 1.0,
        logit_bias: Mapping[str, float] | None = None,
        grammar: str | None = None,
        max_tokens: int = 512,
        stop: Sequence[str] = (),
        stop_at_answer: bool = False,
        prompt: str | None = None,
        system: str | None = None,
        template: FilePath | None = None,
        emit: str = "tree",
        keep_tokens: bool = False,
        keep_confidence: bool = False,
        jobs: int = 1,
        **options: Any,
    ) -> list[Record]:
        """step-rollout: draw from the model, and keep every draw as evidence.

        Args:
            records: traces, or problems without a response.
            method: one of ``list_methods``; None: chain, k rollouts from every prefix of a trace.
            k: draws from each prefix, or attempts at each problem (8; some methods have others).
            seed: of all draws; the same seed and options give the same draws.
            temperature, top_k, top_p, min_p, repetition_penalty, max_tokens, stop,
                stop_at_answer: how tokens are chosen and when a draw ends.
            logit_bias: what is added to the logit of each token, by its text or id.
            grammar: text of a GBNF grammar.
            prompt: a format with {problem} instead of the chat template; system: a system message;
                template: a file with another template.
            emit: "tree", or "traces": a trace for each attempt in the tree.
            keep_tokens: keep the log-probability of every token drawn.
            keep_confidence: with "sample", the same and what every measure of confidence reads.
            jobs: processes that compare answers.
            options: those of the method, as in ``until="wilson:half=0.1"``, ``width=[4, 2]``,
                ``searches=20``, ``prm="prm.gguf"``; see man step-rollout.

        Raises UsageError for an option without effect or out of its range, DataError for a record
        that cannot be drawn from, FailedError.
        """
        from io import StringIO

        from stepkit.cli.actions.draw import draw_work
        from stepkit.cli.actions.draw_plan import DrawPlan
        from stepkit.cli.backends.fetch_models import fetch_missing
        from stepkit.cli.options import prm
        from stepkit.cli.options.methods import method_options, parse_method_options
        from stepkit.cli.options.prompt import PromptOptions
        from stepkit.cli.options.sampling import check, sampling_options
        from stepkit.model.backend import local_backend
        from stepkit.search.method_registry import METHODS
        from stepkit.search.refinement_prompts import refinement_of

        if method is not None and method not in METHODS:
            raise UsageError(f'no method "{method}"; methods are {", ".join(METHODS)}')
        if emit not in ("tree", "traces"):
            raise UsageError(f'emit="{emit}": expected tree or traces')
        given = _checked(method_options, {**options, "draws": k})
        name, settings = parse_method_options(method, given)
        reading = prm.parse_prm_options({**dict.fromkeys((*prm.FIELDS, *prm.OTHERS)), **given})
        if unknown := sorted(given.keys() - {*prm.FIELDS, *prm.OTHERS}):
            raise UsageError(f'no option "{unknown[0]}" of rollout')
        if settings.get("prm") is None:
            reading.refuse_without_prm()
        numbers = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "min_p": min_p}
        numbers |= {"repetition_penalty": repetition_penalty, "max_tokens": max_tokens}
        sampling = _checked(sampling_options, numbers)
        check(sampling)
        if keep_confidence and METHODS[name].writes != "attempts":
            raise UsageError(f"keep_confidence has no effect with {name}")
        sampling |= {"stop": tuple(stop), "stop_at_answer": stop_at_answer}
        biases = logit_bias or {}
        sampling["logit_bias"] = tuple(f"{token}={bias}" for token, bias in biases.items())
        sampling["grammar"] = None if grammar is None else StringIO(grammar)
        plan = DrawPlan(
            method=name,
            settings=settings,
            sampling=sampling,
            seed=seed,
            prompt=PromptOptions(prompt, system, None if template is None else fspath(template)),
            refinement=refinement_of(settings),
            prm=reading,
            emit_traces=emit == "traces",
            keep_tokens=keep_tokens or keep_confidence,
            keep_confidence=keep_confidence,
            jobs=jobs,
        )
        named = {"prm": settings.get("prm"), "draft": settings.get("draft")}
        fetch_missing(self._streams, {**named, "reference": reading.extra.reference})
        form = plan.prompt.form()
        backend = local_backend(
            self._path, self._options, form, sampling["max_tokens"], loaded=self._model
        )
        work, _ = draw_work(self._streams, self._options, backend, plan)
        return _run(work, records)

    def score(
        self,
        records: Iterable[Record],
        by: str = "prm",
        *,
        name: str | None = None,
        profile: str | None = None,
        head: FilePath | None = None,
        reference: FilePath | None = None,
        marker: str | None = None,
        positive: str | None = None,
        negative: str | None = None,
        step: str | None = None,
        prompt: str | None = None,
        system: str | None = None,
        template: FilePath | None = None,
        group: int | None = None,
        keep_tokens: bool = False,
    ) -> list[Record]:
        """step-score: one number a step, in ``scores``; of a record with a tree, of every node.

        Args:
            by: "prm": this model is a process reward model. Else how sure this model, any one, is
                of the steps: logprob, perplexity, entropy, self-certainty, lowest-group,
                bottom-group or tail.
            name: of the scores; None: ``by``.
            profile, head, reference, marker, positive, negative, step: how the reward model is
                read, where its file does not say.
            prompt: what stands before the steps, with {problem}; system, template: with any model.
            group: tokens of a group.
            keep_tokens: with any model, keep the log-probability of every token.

        Raises UsageError for an option without effect, DataError for a record that cannot be
        scored, FailedError.
        """
        from stepkit.cli.actions.score_with_model import scoring_work
        from stepkit.cli.backends import scorers
        from stepkit.cli.backends.fetch_models import fetch_missing
        from stepkit.cli.options.confidence import parse_confidence_options
        from stepkit.cli.options.prm import parse_prm_options
        from stepkit.cli.options.prompt import PromptOptions
        from stepkit.core.confidence import MEASURES
        from stepkit.runner.settings import ServerOptions

        given = {"marker": marker, "positive": positive, "negative": negative, "step": step}
        files = {"head": head, "reference": reference}
        given |= {key: None if file is None else fspath(file) for key, file in files.items()}
        reading = parse_prm_options({**given, "profile": profile})
        fetch_missing(self._streams, {"reference": reading.extra.reference})
        if by == "prm":
            if system is not None or template is not None or group is not None or keep_tokens:
                raise UsageError("system, template, group and keep_tokens are for other measures")
            setup = scorers.verifier(
                self._options, reading, self._streams, prompt, shared=self._model
            )
        elif by in MEASURES:
            reading.refuse_without_prm()
            measure = parse_confidence_options(
                {"by": by, "group": group, "kept": False, "sampler": None}
            )
            layout = PromptOptions(prompt, system, None if template is None else fspath(template))
            setup = scorers.likelihood(
                self._path,
                self._options,
                ServerOptions(),
                layout,
                self._streams,
                keep_tokens,
                measure,
                loaded=self._model,
            )
        else:
            raise UsageError(f'by="{by}": expected prm, {", ".join(MEASURES)}')
        work, _ = scoring_work(self._streams, setup, name or by, None)
        return _run(work, records)


class _RecordList:
    """Records that are all there, as a session takes them."""

    def __init__(self, lines: Sequence[Line]) -> None:
        self._left = list(reversed(lines))

    @property
    def ended(self) -> bool:
        return not self._left

    def take(self, wait: bool) -> Line | None:
        return self._left.pop() if self._left else None

    def watch(self, status: Callable[[], Sequence[str]]) -> None:
        """Nothing: nobody watches."""


def _run(work: SessionWork, records: Iterable[Record]) -> list[Record]:
    """Run the work on the records, in their order. Raises the first error of one of them."""
    from stepkit.cli.actions.session import results, written
    from stepkit.io.journal import NullJournal
    from stepkit.record_lines import lines_of

    lines = lines_of(records)
    if not lines:
        return []
    made: dict[int, list[Record]] = {}
    with closing(results(work, _RecordList(lines), NullJournal())) as answers:
        for line, answer in answers:
            result = written(work, line, answer)
            if isinstance(result, DataError):
                raise result.at(line.place)
            made[line.index] = [one.data for one in result]
    return [record for line in lines for record in made[line.index]]


def _checked(decorate: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """The options that are given, each within the range that the command has for it.

    Args:
        decorate: puts the options on a command's function.

    Raises UsageError.
    """
    import click

    types = {one.name: one.type for one in decorate(lambda: None).__click_params__}
    found = {}
    for name, value in given.items():
        if value is None:
            continue
        if isinstance(value, (list, tuple)):
            value = ",".join(map(str, value))
        elif isinstance(value, PathLike):
            value = fspath(value)
        try:
            found[name] = types[name].convert(value, None, None) if name in types else value
        except click.BadParameter as error:
            shown = "k" if name == "draws" else name
            raise UsageError(f"{shown}={value}: {error.message}") from None
    return found


def warning_streams() -> StreamOptions:
    """What the commands' functions tell people, as Python warnings."""
    from stepkit.runner.settings import StreamOptions

    class WarningStreams(StreamOptions):
        def warn(self, text: str) -> None:
            warn(text, stacklevel=2)

    return WarningStreams("stepkit", files=(), quiet=True)
