"""What shows in a record before its model is loaded: a missing field, a type, unjoined steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stepkit.cli.options.answer_reading import take_answer

if TYPE_CHECKING:
    from stepkit.cli.actions.draw_plan import DrawPlan
    from stepkit.io.jsonl import Record
    from stepkit.model.prefixes import Prefixes


def rehearse_draws(plan: DrawPlan, record: Record) -> None:
    """Run the method on the record up to its first draw, with bytes in place of tokens.

    Raises the DataError that the method will raise; UsageError for a prompt that cannot be laid
    out. A method that a PRM guides is not run: only what all methods need is checked.
    """
    from stepkit import schema
    from stepkit.model.engine import Sampling
    from stepkit.model.sampler import ModelIdentity, Sampler
    from stepkit.search.method_registry import load_method
    from stepkit.search.method_setup import MethodSetup

    take_answer(record, plan.answers.field)
    prefixes = _byte_prefixes(plan)
    if plan.settings.get("prm") is not None:
        schema.answer_of(record.data)
        prefixes.at_cuts(record.data, schema.steps(record.data))
        return
    sampler = Sampler(
        prefixes,
        Sampling(max_tokens=1),
        model=ModelIdentity("", ""),
        context=None,
        seed=plan.seed,
        refine=plan.refinement.form if plan.refinement else None,
    )
    strategy = load_method(plan.method)(MethodSetup(sampler, plan.settings), record.data)
    next(strategy, None)
    strategy.close()


def _byte_prefixes(plan: DrawPlan) -> Prefixes:
    """Prompts and prefixes as bytes; the model's own template is not known yet."""
    from stepkit.model.backend import template_for
    from stepkit.model.chat import PromptEncoder, Prompter
    from stepkit.model.prefixes import Prefixes
    from stepkit.model.servers.byte_vocabulary import ByteVocabulary

    form, vocabulary = plan.prompt.form(), ByteVocabulary()
    template = template_for(None, form) if form.prompt is None else None
    special = {"bos_token": template.bos_token, "eos_token": template.eos_token} if template else {}
    prompter = Prompter(
        PromptEncoder(vocabulary),
        template=template.source if template else None,
        form=form.prompt,
        system=form.system if template else None,
        special=special,
    )
    return Prefixes(vocabulary, prompter)


def check_scored(judge: str, record: Record) -> None:
    """Raise the DataError of a record that the judge of that name ("" without one) will refuse."""
    from stepkit import schema
    from stepkit.cli.actions.judge_answers import why_not_asked
    from stepkit.cli.actions.step_scores import steps_of

    if judge == "answer":
        why_not_asked(record.data)
    elif judge == "pairs" or schema.check_tree(record.data) is not None:
        schema.steps(record.data)
    else:
        steps_of(record)
