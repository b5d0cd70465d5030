"""What to cite for a report, and the commands that make its answers again from nothing."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from ..answers.answered import Answered
from ..answers.rows import eps_order, lambda_order
from ..answers.snapshot import Snapshot
from ..answers.trust import NOT_RUN
from ..attacks.registry import ATTACKS
from ..corruptions.registry import CORRUPTIONS, table_for
from ..corruptions.sequences.members import SEQUENCES
from ..data.registry import clean_set
from ..planning.chains import chain_name
from ..specs import AttackSpec, Cell, CorruptionSpec, DataSpec, SequenceSpec
from ..specs.models import Repeats
from ..version import VERSION
from .document import Code, Section
from .results import distinct

# Key -> BibTeX, in the order in which a report lists them.
_BIBLIOGRAPHY = Path(__file__).with_name("templates").joinpath("works.bib").read_text(encoding="ascii")
_ENTRIES = re.findall(r"(@\w+{([a-z]+).*?\n})", _BIBLIOGRAPHY, re.DOTALL)
WORKS: Mapping[str, str] = MappingProxyType({key: entry for entry, key in _ENTRIES})
_OTHER_IN_L1 = ("apgd", "square")


def citing(snapshot: Snapshot) -> Section:
    """The chapter: BibTeX of what was used, and the commands."""
    return Section(
        "To cite and to run again",
        (
            "What this report used:",
            Code("\n".join(WORKS[key] for key in works_used(snapshot.answered))),
            f"With robustbench-sdnet {VERSION} and the models and data named above, these commands run all of it "
            "again, and more where models or lambdas were not all run alike. Write the path of a run or a file in "
            "place of its name:",
            Code("\n".join(commands(snapshot))),
        ),
        folded=True,
    )


def works_used(answered: Iterable[Answered]) -> list[str]:
    """Keys of the works that these answers rest on."""
    found = {work for one in answered for work in _works(one)}
    return [key for key in WORKS if key in found]


def _works(answered: Answered) -> Iterator[str]:
    cell, spec = answered.cell, answered.cell.perturbation
    if cell.model.has_lambda:
        yield "sdnet"
    if cell.kind in ("corruption", "sequence"):
        known = cell.kind == "corruption" and spec.name in CORRUPTIONS
        yield CORRUPTIONS[spec.name].work if known else "corruptions"
    if not isinstance(spec, AttackSpec):
        return
    library, colon, _ = spec.name.partition(":")
    if colon:
        yield library
    elif spec.name in ATTACKS:
        yield ATTACKS[spec.name].work
    if spec.chain:
        yield "autoattack"
    if spec.norm == "l1" and spec.name.startswith(_OTHER_IN_L1):
        yield "mindthebox"
    if answered.verdicts:
        yield "obfuscated"


class _Command(NamedTuple):
    """What all answers of a command have alike, in the order in which commands stand.

    Attributes:
        settings: of an attack, as options.
        apart: what no command can ask of corruptions at once.
    """

    data: str
    split: str
    scope: str
    seed: str
    counting: str
    verb: str
    attack: str = ""
    norm: str = ""
    settings: str = ""
    apart: str = ""


def commands(snapshot: Snapshot) -> Iterator[str]:
    """Commands for a shell: data and models by the names that the report gives them, not by where they lie here."""
    groups: dict[_Command, list[Answered]] = {}
    for one in snapshot.exact:
        if command := _command(one.cell):
            groups.setdefault(command, []).append(one)
    cells = {one.id: one.cell for one in snapshot.exact}
    for command, found in sorted(groups.items()):
        yield shlex.join(_words(command, found, cells))


def _command(cell: Cell) -> _Command | None:
    """The command that asks for a cell; None for clean images and noise, which come with others."""
    spec, repeats = cell.perturbation, cell.model.repeats or Repeats()
    counting = "" if repeats == Repeats() else f"--draws {repeats.draws} --protocol {repeats.protocol}"
    scope = cell.lam.scope if cell.lam else "stem"
    shared = cell.data.name, cell.data.split, scope, str(spec.seed), counting
    if isinstance(spec, SequenceSpec):
        return _Command(*shared, "corrupt", apart=f"difficulty {spec.difficulty}")
    if isinstance(spec, AttackSpec):
        own = chain_name(spec) or spec.name, spec.norm, _settings(cell, spec)
        return _Command(*shared, "attack", *own) if spec.kind == "attack" else None
    if cell.kind != "corruption":
        return None
    # Levels of one noise are none of another.
    apart = " ".join([spec.name if spec.level else "", *_parameters(cell.data, spec)])
    return _Command(*shared, "corrupt", apart=apart)


def _words(command: _Command, found: Sequence[Answered], cells: Mapping[str, Cell]) -> Iterator[str]:
    yield from ("sdnet-bench", command.verb, *filter(None, [command.attack]), "--data", command.data)
    if command.split != "test":
        yield from ("--split", command.split)
    # A name without how its answers were counted.
    for model in distinct(a.cell.model.name.replace(f" [{a.cell.model.repeats}]", "") for a in found):
        yield from ("--model", model)
    yield from _attacked(found, command.norm) if command.attack else _corrupted(found)
    yield from shlex.split(command.settings)
    begun = [cells[parent] for a in found if a.cell.warm for parent in a.cell.parents if parent in cells]
    lams = {cell.lam for cell in (*begun, *(a.cell for a in found)) if cell.lam}
    if lams:
        texts = distinct(lam.text for lam in sorted(lams, key=lambda_order))
        yield from ("--lambda", ",".join(texts))
    if command.scope != "stem":
        yield from ("--lambda-scope", command.scope)
    if command.seed != "0":
        yield from ("--seed", command.seed)
    yield from shlex.split(command.counting)
    yield from _diagnosed(found)
    yield from ("--limit", str(1 + max(int(a.outcome.ids.max()) for a in found)))


def _diagnosed(found: Sequence[Answered]) -> list[str]:
    """The option that asks for the diagnostics of an attack, where any was; Square is not among the cheap ones."""
    findings = [finding for answered in found for finding in answered.verdicts]
    full = any(finding.check == "gradient_free_wins" and finding.verdict != NOT_RUN for finding in findings)
    return ["--verdicts", *(["full"] if full else [])] if findings else []


def _corrupted(found: Sequence[Answered]) -> list[str]:
    followed = [a.cell.perturbation for a in found if isinstance(a.cell.perturbation, SequenceSpec)]
    if followed:
        names = ",".join(name for name in SEQUENCES if name in {spec.name for spec in followed})
        difficulties = ",".join(map(str, sorted({spec.difficulty for spec in followed})))
        return ["--sequences", "--corruption", names, "--difficulty", difficulties]
    specs = [a.cell.perturbation for a in found if isinstance(a.cell.perturbation, CorruptionSpec)]
    order = {name: position for position, name in enumerate(CORRUPTIONS)}
    named = sorted({spec.name for spec in specs}, key=lambda name: order.get(name, len(order)))
    levels = sorted({spec.level for spec in specs if spec.level}, key=float)
    severities = sorted({spec.severity for spec in specs if spec.severity})
    strength = ["--level", ",".join(levels)] if levels else ["--severity", ",".join(map(str, severities))]
    return ["--corruption", ",".join(named), *strength, *_parameters(found[0].cell.data, specs[0])]


def _parameters(data: DataSpec, spec: CorruptionSpec) -> list[str]:
    """Parameter set and storage, where they were chosen: what lies in a folder of corrupted images has its own."""
    words = ["--stored-as", spec.stored] if spec.stored else []
    if spec.size and not clean_set(data.name):
        height, width = map(int, spec.size.split("x"))
        words += [] if table_for(height, width) == spec.table else ["--table", spec.table]
    return words


def _attacked(found: Sequence[Answered], norm: str) -> list[str]:
    specs = [a.cell.perturbation for a in found if isinstance(a.cell.perturbation, AttackSpec)]
    budgets = sorted({spec.eps for spec in specs if spec.eps}, key=eps_order)
    words = ["--eps", ",".join(map(str, budgets))] if budgets else []
    if any(a.cell.kind == "transfer" for a in found):
        made = sorted({a.cell.lam_attack for a in found if a.cell.lam_attack}, key=lambda_order)
        words += ["--attack-lambda", ",".join(distinct(lam.text for lam in made))]
    return [*words, *(["--norm", norm] if norm != "linf" else [])]


def _settings(cell: Cell, spec: AttackSpec) -> str:
    """Hyper-parameters that differ from the defaults, and whether it began at another's images."""
    if spec.chain or spec.name not in ATTACKS:
        text = spec.chain.partition("(")[2].removesuffix(")") if spec.chain else spec.shown
        changed = [pair for pair in text.split(",") if "=" in pair and not pair.startswith("seed=")]
    else:
        known = ATTACKS[spec.name].params
        changed = [f"{key}={value}" for key, value in spec.params if key in known and known[key] != value]
    words = [word for pair in changed for word in ("--set", pair)]
    return shlex.join([*words, *(["--warm-start"] if cell.warm else [])])
