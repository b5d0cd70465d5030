"""The Python API: ask questions, get tables. The commands use the same functions."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .data.registry import check_clean
from .errors import level_of_the_caller
from .planning import questions
from .planning.asked import Asked
from .planning.setting import Setting, Where, setting_of
from .reading.options import several
from .running.cells import attack_plan, corruption_plan
from .running.ready import answer, prepare
from .running.refusals import check_models, checked
from .running.runner import Progress
from .specs import Eps
from .wording import counted, shown

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    from typing_extensions import Unpack

    from .answers.records import Record
    from .diagnostics import Finding
    from .diagnostics.of_study import Watching
    from .planning.study import Budget


def evaluate(
    models: Path | Sequence[str | Path] | None = None,
    data: str | None = None,
    *,
    corruptions: str | Iterable[str] = (),
    severities: Sequence[int] | int | str = (1, 2, 3, 4, 5),
    attacks: Sequence[str | Mapping[str, Any]] = (),
    lambdas: Sequence[float | str] | float | str = (),
    attack_lambdas: Sequence[float | str] | float | str = (),
    lambda_scope: str = "stem",
    warm_start: bool = False,
    seed: int = 0,
    table: str | None = None,
    stored_as: str | None = None,
    sequences: str | Iterable[str] = (),
    difficulties: Sequence[int] | int | str = (1,),
    on_progress: Callable[[Progress], None] = lambda progress: None,
    **where: Unpack[Where],
) -> pd.DataFrame:
    """Measure models under corruptions and attacks, at every lambda; return `records` of it, one row per result.

    Args:
        models: zoo names, runs, checkpoints or "package.module:function"; None for the default ones available.
        data: a data set's name; None for what the first of `models` was trained on, else that of the newest run.
        corruptions, severities: names, "all", "main", "extra" or a category, and 1 to 5, or a text such as "1-5".
        attacks: names ("pgd"), or mappings with `name`, `norm`, `eps` (default by norm: 8/255 in linf, 0.5 in l2, 12
            in l1; none for minimal-norm attacks) and hyper-parameters.
        lambdas: numbers, policies, or a text such as "0.1:1.4:0.1"; empty for each model's training lambda.
        attack_lambdas: attack at each of these and evaluate at every one of `lambdas`.
        lambda_scope: the layers that lambda is set on, "stem" or "all".
        warm_start: start PGD at each lambda from the perturbations found at the lambda before it.
        seed: seed of all random draws.
        table, stored_as: for corruptions, one of `corruptions.TABLES` (None: by size) and of `corruptions.STORED`.
        sequences, difficulties: names of CIFAR-10-P's sequences, "all", "main" or "extra", and 1 to 3.
        on_progress: called before the first shard and after each.
        where: store, limit, split, device and the others of `planning.setting.Where`.

    Raises:
        InputError: an argument is unknown or out of range.
        ModelError: a model failed; the answers of the others are stored.
    """
    from .answers.frames import records
    from .diagnostics.doubts import doubts

    asked = _asked(corruptions, seed, severities=severities, table=table, stored=stored_as)
    asked += _asked(sequences, seed, sequences=True, difficulties=difficulties)
    attack_list = [spec for attack in several(attacks) for spec in questions.attack_of(attack, seed)]
    chosen, attacked = (questions.lambdas_of(values, lambda_scope) for values in (lambdas, attack_lambdas))
    setting = checked(setting_of(models, data, where, evaluate))
    questions.check_attacked(attack_list, chosen, attacked, setting.data, warm_start)
    ready = prepare(setting)
    specs = [spec for one in asked for spec in one.of(ready.data)]
    with closing(ready.engine):
        cells = corruption_plan(ready, specs, chosen, ready.setting.precision)
        if attack_list:
            cells += attack_plan(ready, attack_list, chosen, attacked, warm_start=warm_start)
        _warn(doubts(ready, (*chosen, *attacked), [(one.norm, one.eps) for one in attack_list]))
        answer(ready, cells, on_progress=on_progress)
    _warn(ready.engine.notes)
    return records(ready.setting.store, only={cell.id for cell in cells}, limit=ready.count)


def sweep(
    models: Path | Sequence[str | Path] | None = None,
    data: str | None = None,
    *,
    lambdas: Sequence[float | str] | str = "0.1:1.4:0.1",
    corruptions: str | Iterable[str] = "noise",
    **options: Any,
) -> pd.DataFrame:
    """Sweep lambda at test time: `evaluate` at the 14 published lambdas under the noises, unless options differ."""
    return evaluate(models, data, lambdas=lambdas, corruptions=corruptions, **options)


@dataclass(frozen=True)
class Study:
    """What a study found.

    Attributes:
        records: one dictionary per answer, with the fields of `answers.records.FIELDS`.
        comparisons: exact paired tests between models and lambdas, as the report prints them.
        rivals: what other perturbations in the same ball broke of the images that the direct attack left.
        conclusion: `question` ("noise", "adversary", "masking", "published") and `answer`, from the numbers alone.
        failed: by model name, why it gave no answers, or not all.
        published: each number of that experiment with the paper's, and each claimed gain, also over several networks.
        reports: the files that were written, if any were requested.
    """

    records: list[Record]
    comparisons: list[dict[str, Any]]
    rivals: list[dict[str, Any]]
    conclusion: list[dict[str, str]]
    failed: dict[str, str]
    published: list[dict[str, Any]]
    reports: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """One line, for a notebook: whose answers, how many, and where to look first."""
        of = (shown(", ".join(dict.fromkeys(row[key] for row in self.records))) for key in ("model", "data"))
        failed = f", {len(self.failed)} failed" if self.failed else ""
        found = f"{counted(len(self.records), 'answer')}{failed}"
        return f"<Study of {' on '.join(of)}: {found}; look at conclusion, then records>"


def study(
    models: Path | Sequence[str | Path],
    data: str | None = None,
    *,
    budget: str = "small",
    protocol: str | None = None,
    eps: str | float | None = None,
    norm: str = "linf",
    lambda_scope: str = "stem",
    seed: int = 0,
    **where: Unpack[Where],
) -> Study:
    """Does another lambda make these models robust? Noises, attacks, policies, diagnostics and a conclusion in one run.

    Args:
        models: zoo names, runs, checkpoints or "package.module:function".
        data: a data set's name; None for what the first model was trained on, else that of the newest run.
        budget: "small", "standard" or "full": minutes, hours or days on a CPU.
        protocol: "published" for the noise experiment of the paper, without attacks, in place of a budget.
        eps: budget of the attacks in [0, 1] pixel units, or a comma-separated text; None: the norm's default.
        norm: norm of the budget.
        lambda_scope: the layers that lambda is set on, "stem" or "all"; a protocol uses the stem.
        seed: seed of corruptions and attacks.
        where: store, device and the others of `planning.setting.Where`; `limit` replaces the budget's numbers.

    Raises:
        InputError: an argument is unknown or out of range.
        ModelError: every model failed; if only some did, `failed` names them.
        StoreError: the store cannot be written.
    """
    from .diagnostics.doubts import doubts
    from .diagnostics.of_study import Watching
    from .planning.study import budget_named

    models = several(models)
    asked = budget_named(budget, protocol, eps=eps, norm=norm, lambda_scope=lambda_scope)
    _, budgets = questions.budgets("pgd", norm, eps)
    setting = checked(setting_of(models, data, where, study))
    check_clean(setting.data, "A study")
    balls = [(norm, one) for one in budgets]
    watching = Watching(ready=lambda ready: _warn(doubts(ready, (), balls, pairs=bool(protocol))))
    return run_study(setting, asked, budgets, norm=norm, seed=seed, scope=lambda_scope, watching=watching)


def run_study(
    setting: Setting,
    budget: Budget,
    eps: Sequence[Eps],
    *,
    norm: str,
    seed: int,
    scope: str,
    watching: Watching,
    output: Path | bool = False,
) -> Study:
    """The same of a setting, with progress; the study's own answers out of a store that may hold others.

    Args:
        output: the folder that study.md and study.html go to; True for that of the store, False for none.
    """
    from .answers.comparisons import comparisons
    from .answers.published import published
    from .answers.records import flat
    from .answers.rivals import rivals
    from .answers.rows import rows
    from .answers.snapshot import Snapshot
    from .diagnostics.of_study import answer_study
    from .reports import evidence, pages
    from .reports.conclusion import sentences
    from .reports.tables.published import claim_sentences as claimed

    cells, failed = answer_study(setting, budget, eps, norm=norm, seed=seed, scope=scope, watching=watching)
    snapshot = Snapshot.read(setting.store).told_apart
    own = snapshot.of({cell.id for cell in cells})
    models = {one.cell.model for one in own.answered}
    data = {one.cell.data.content for one in own.answered}
    found = rows(own)
    tested = (one for one in comparisons(snapshot) if one.question.content in data)
    compared = [one for one in tested if {one.a.model, one.b.model} <= models]
    missed = [one for one in rivals(snapshot) if one.subject.model in models and one.question.content in data]
    beside = published(own)
    said = [("published", text) for text in claimed(beside)]
    said += sentences(evidence.evidences(found, compared, missed))
    folder = snapshot.folder if output is True else output
    return Study(
        flat(found),
        [one.record() for one in compared],
        [one.record() for one in missed],
        [{"question": asked, "answer": text} for asked, text in said],
        dict(failed),
        beside.records(),
        tuple(map(str, pages(snapshot, folder, "study"))) if folder else (),
    )


def diagnose(
    model: str | Path,
    data: str | None = None,
    *,
    eps: str | float | None = None,
    norm: str = "linf",
    lam: float | str | None = None,
    lambda_scope: str = "stem",
    transfer_from: Path | Sequence[str | Path] = (),
    cheap: bool = False,
    seed: int = 0,
    **where: Unpack[Where],
) -> list[Finding]:
    """Does the model mask its gradients? Diagnostics, each pass, warn, fail or not_run with its number.

    Args:
        model: a run, a checkpoint, a zoo name or "package.module:function".
        data: a data set's name; None for what the model was trained on.
        eps: the tested budget in [0, 1] pixel units, above 0; None for the norm's default.
        norm: norm of the budget.
        lam: the deployed lambda; None for the training value.
        lambda_scope: the layers that `lam` is set on, "stem" or "all".
        transfer_from: other models whose perturbations are tried as well.
        cheap: only the diagnostics that cost at most 20 steps per survivor.
        seed: seed of every random start, draw and direction.
        where: limit (default 100 images), split, device and the others of `planning.setting.Where`.

    Returns:
        One `Finding` for each row of `diagnostics.DIAGNOSTICS`, in its order; a fail says that an attack's accuracy
        cannot be trusted, and why.

    Raises:
        InputError: an unknown name, an eps of 0, or a lambda for a model that has none.
        ModelError: the model failed.
    """
    from .diagnostics.of_model import diagnose_model

    budget, deployed = questions.one_budget(norm, eps, "eps"), questions.lambda_of(lam, lambda_scope)
    setting, others = checked(setting_of(model, data, where, diagnose)), several(transfer_from)
    check_models(others)
    found = diagnose_model(
        setting,
        budget,
        norm=norm,
        lam=deployed,
        others=others,
        cheap=cheap,
        seed=seed,
    )
    _warn(found.notes)
    return found.findings


def _warn(lines: Iterable[str]) -> None:
    for line in lines:
        warnings.warn(line, stacklevel=level_of_the_caller())


def _asked(names: str | Iterable[str] | None, seed: int, **how: Any) -> list[Asked]:
    """What is asked, in a list that is empty where no names are; the rest is checked all the same."""
    text = names if isinstance(names, str) else ",".join(names or ())
    checked = Asked(corruptions=text or "all", seed=seed, **how)
    return [checked] if text else []
