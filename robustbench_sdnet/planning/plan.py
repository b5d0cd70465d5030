"""From questions to work: cells in order, and the shards of them that are not stored yet."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter

from ..specs import CLEAN, AttackSpec, Cell, CorruptionSpec, DataSpec, LambdaSpec, ModelSpec, SequenceSpec
from .chains import check_warm_start, continues, transfers, warmed
from .costs import Range, grid, missing, shard_size

Lambdas = Sequence[LambdaSpec] | Callable[[ModelSpec], Sequence[LambdaSpec]]


@dataclass(frozen=True)
class Task:
    """A unit of work: cells that look at the same input, on the samples at positions start to stop."""

    start: int
    stop: int
    cells: tuple[Cell, ...]

    @property
    def label(self) -> str:
        """What it is about: an attack belongs to one cell, a corruption to all models and lambdas at once."""
        cell = self.cells[0]
        if not isinstance(cell.perturbation, AttackSpec):
            return cell.strength
        parts = [cell.strength]
        parts += [f"lambda {cell.lam.text}"] if cell.lam else []
        parts += [f"made at {cell.lam_attack.text}"] if cell.kind == "transfer" and cell.lam_attack else []
        return f"{', '.join(parts)} on {cell.model.name}"


def corruption_cells(
    models: Sequence[ModelSpec],
    data: DataSpec,
    corruptions: Sequence[CorruptionSpec | SequenceSpec],
    lambdas: Lambdas = (),
    precision: str = "float32",
    clean: bool = True,
) -> list[Cell]:
    """Every model at every lambda under every corruption or sequence, the clean images first.

    Args:
        lambdas: empty for each model's training lambda; a model without CSC layers gives one cell, its lambda empty.
        precision: "float32", or "bfloat16" with close calls repeated in float32; clean images and sequences, of which
            ranks are counted, always take float32.
        clean: False leaves the clean images out, for published corruptions whose clean images are not at hand.
    """
    return [
        Cell(
            model=model,
            data=data,
            perturbation=perturbation,
            lam=lam,
            precision="float32"
            if perturbation is CLEAN or isinstance(perturbation, SequenceSpec)
            else precision,
        )
        for perturbation in (*([CLEAN] if clean else ()), *corruptions)
        for model in models
        for lam in model_lambdas(model, lambdas)
    ]


def attack_cells(
    models: Sequence[ModelSpec],
    data: DataSpec,
    attacks: Sequence[AttackSpec],
    lambdas: Lambdas = (),
    attack_lambdas: Lambdas = (),
    precision: str | Callable[[AttackSpec], str] = "float32",
    eps_curve: bool = False,
    warm_start: bool = False,
) -> list[Cell]:
    """Every model at every lambda under every attack, its gradients taken at the lambda that is deployed.

    Stages of a chain (equal `chain`, eps and norm, one after the other) start from the survivors of the stage before.

    Args:
        attacks: in order, a chain's stages in theirs.
        attack_lambdas: where given, each of them is attacked, and its perturbations are evaluated at every one of
            `lambdas`: the diagonal is robust accuracy, everything else transfer.
        eps_curve: broken at a smaller eps is broken at a larger one, so each eps of an attack (in growing order)
            starts from the survivors of the one before; not with `attack_lambdas` or `warm_start`.
        warm_start: each lambda's PGD begins at the perturbations of the lambda before it, the first at those of an
            ordinary PGD at the same lambda.

    Raises:
        InputError: a warm start of another attack than PGD, or of several restarts; transfer of a chain.
    """
    if warm_start:
        check_warm_start(attacks)
    cells = corruption_cells(models, data, (), lambdas)
    for model in models:
        evaluated = model_lambdas(model, lambdas)
        attacked = model_lambdas(model, attack_lambdas) if attack_lambdas else evaluated
        warm: dict[AttackSpec, Cell] = {}
        for lam in dict.fromkeys((*attacked, *evaluated)):
            direct = lam in attacked
            chain: list[Cell] = []
            curve = eps_curve and not attack_lambdas and not warm_start
            for attack in attacks:
                if not direct and attack.kind != "noise":
                    continue
                before = chain[-1] if chain and continues(chain[-1].perturbation, attack, curve) else None
                cell = Cell(
                    model=model,
                    data=data,
                    perturbation=attack,
                    lam=lam,
                    lam_attack=lam,
                    precision=precision(attack) if callable(precision) else precision,
                    parents=(before.id,) if before else (),
                )
                chain.append(cell)
                if warm_start and attack.kind != "noise":
                    if attack not in warm:
                        cells.append(cell)
                    cell = warm[attack] = warmed(cell, warm.get(attack, cell))
                cells.append(cell)
                if attack.kind != "noise" and attack_lambdas:
                    cells.extend(transfers(cell, evaluated))
    return cells


def model_lambdas(model: ModelSpec, lambdas: Lambdas) -> tuple[LambdaSpec | None, ...]:
    """The lambdas a model is asked at: those given, else its training lambda; None without CSC layers."""
    chosen = () if not model.has_lambda else lambdas(model) if callable(lambdas) else lambdas
    return tuple(chosen) or (model.default_lambda,)


def tasks(
    cells: Sequence[Cell], stored: Mapping[str, Sequence[Range]], count: int, *, pixels: int, device: str
) -> list[Task]:
    """The work that is not stored yet, parents before children, in an order that depends on the plan alone.

    Cells under the same corruption share a task, so that each corrupted image is made once for all models and lambdas.

    Args:
        cells: as `corruption_cells` and `attack_cells` return them.
        stored: the ranges of every cell, from the store.
        count: how many samples are asked for.
    """
    groups: dict[object, list[Cell]] = {}
    for cell in {cell.id: cell for cell in cells}.values():
        shared = not isinstance(cell.perturbation, AttackSpec)
        groups.setdefault((cell.data, cell.perturbation) if shared else cell.id, []).append(cell)
    found: list[Task] = []
    for group in groups.values():
        shared_input: dict[Range, list[Cell]] = {}
        for cell in group:
            ranges = stored.get(cell.id, ())
            for wanted in grid(shard_size(cell, pixels, device), count):
                for part in missing(wanted, ranges):
                    shared_input.setdefault(part, []).append(cell)
        found.extend(
            Task(start, stop, tuple(those))
            for (start, stop), those in sorted(shared_input.items(), key=itemgetter(0))
        )
    return found
