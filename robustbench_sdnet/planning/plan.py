"""From questions to work: cells in order, and the shards of them that are not stored yet.

A shard is a cell on a range of sample positions. Ranges lie on a grid that starts fine and grows, so that the usual
limits (100, 200, 500, 1,000) fall on its edges; whatever the store holds already is subtracted, so any two runs share
their shards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ..errors import InputError
from ..specs import CLEAN, AttackSpec, Cell, CorruptionSpec, DataSpec, LambdaSpec, ModelSpec, decimal_text

Range = tuple[int, int]
Lambdas = Sequence[LambdaSpec] | Callable[[ModelSpec], Sequence[LambdaSpec]]
_SIZES = (10, 50, 100, 200, 500, 1000, 2000, 5000)
# Sample passes of a 32 x 32 image a shard may cost: a minute or so of a 20-layer model on two slow cores.
_BUDGET = {"cpu": 20_000, "cuda": 1_000_000}
_LARGEST = {"cpu": 1000, "cuda": 5000}


@dataclass(frozen=True)
class Task:
    """A unit of work: cells that look at the same input, on the samples at positions start to stop."""

    start: int
    stop: int
    cells: tuple[Cell, ...]

    @property
    def cost(self) -> int:
        """Sample passes at the most, for progress and time left."""
        return (self.stop - self.start) * sum(passes(cell) for cell in self.cells)


def corruption_cells(
    models: Sequence[ModelSpec],
    data: DataSpec,
    corruptions: Sequence[CorruptionSpec],
    lambdas: Lambdas = (),
    precision: str = "float32",
    clean: bool = True,
) -> list[Cell]:
    """Every model at every lambda under every corruption, the clean images first.

    Args:
        lambdas: empty for each model's training lambda; a model without CSC layers gives one cell, its lambda empty.
        precision: "float32", or "bfloat16" with close calls repeated in float32; clean images always take float32.
        clean: False leaves the clean images out, for published corruptions whose clean images are not at hand.
    """
    return [
        Cell(
            model=model,
            data=data,
            perturbation=perturbation,
            lam=lam,
            precision="float32" if perturbation is CLEAN else precision,
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
        InputError: a warm start of another attack than PGD, or of several restarts.
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
                before = chain[-1] if chain and _continues(chain[-1].perturbation, attack, curve) else None
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
                    cell = warm[attack] = _warmed(cell, warm.get(attack, cell))
                cells.append(cell)
                if attack.kind != "noise" and not attack.chain and attack_lambdas:
                    cells.extend(_transfers(cell, evaluated))
    return cells


def check_warm_start(attacks: Sequence[AttackSpec]) -> None:
    """Refuse a warm start of anything but PGD with one restart.

    Raises:
        InputError: the attack cannot be warm-started.
    """
    for attack in attacks:
        if attack.kind == "noise":
            continue
        if attack.name != "pgd" or attack.chain:
            raise InputError(f"Only pgd can be warm-started, got '{attack.chain or attack.name}'.")
        if dict(attack.params).get("restarts") != 1:
            raise InputError(
                "A warm start begins at one point, so restarts would repeat it. Leave them at 1."
            )


def _warmed(cell: Cell, parent: Cell) -> Cell:
    """The same attack, begun at the parent's perturbed images; tables name it so."""
    spec = cell.perturbation
    assert isinstance(spec, AttackSpec)  # narrows the type
    shown = f"{spec.shown},warm_start" if spec.shown else "warm_start"
    return replace(cell, perturbation=replace(spec, shown=shown), parents=(parent.id,), warm=True)


def _continues(before: AttackSpec | CorruptionSpec, attack: AttackSpec, eps_curve: bool) -> bool:
    """Whether an attack starts from the survivors of the one before: a chain's next stage, or a curve's next eps."""
    if any(getattr(before, key, None) != getattr(attack, key) for key in ("chain", "norm", "seed")):
        return False
    before_eps, eps = getattr(before, "eps", None), attack.eps
    if before_eps == eps:
        return bool(attack.chain)
    grows = before_eps is not None and eps is not None and before_eps.fraction < eps.fraction
    same = bool(attack.chain) or (before.name, getattr(before, "params", None)) == (
        attack.name,
        attack.params,
    )
    return eps_curve and attack.kind == "attack" and grows and same


def _transfers(parent: Cell, evaluated: Iterable[LambdaSpec | None]) -> Iterator[Cell]:
    for lam in evaluated:
        if lam != parent.lam:
            yield Cell(
                model=parent.model,
                data=parent.data,
                perturbation=parent.perturbation,
                lam=lam,
                lam_attack=parent.lam,
                precision=parent.precision,
                parents=(parent.id,),
            )


def model_lambdas(model: ModelSpec, lambdas: Lambdas) -> tuple[LambdaSpec | None, ...]:
    """The lambdas a model is asked at: those given, else its training lambda; None without CSC layers."""
    if model.training_lambda is None:
        return (None,)
    chosen = lambdas(model) if callable(lambdas) else lambdas
    return tuple(chosen) or (LambdaSpec(decimal_text(model.training_lambda)),)


def passes(cell: Cell) -> int:
    """Sample passes of a cell at the most, one for a prediction."""
    if isinstance(cell.perturbation, CorruptionSpec) or cell.kind in ("noise", "transfer"):
        return 1
    options = dict(cell.perturbation.params)
    targets = options.get("targets") or options.get("n_targets") or 1
    steps = options.get("steps") or options.get("queries") or options.get("n_queries") or 20
    return 2 * int(steps) * int(options.get("restarts") or 1) * int(targets)


def shard_size(cell: Cell, pixels: int, device: str) -> int:
    """How many samples a shard holds at the most: seconds to a few minutes of work.

    Args:
        pixels: height times width of an image.
        device: "cpu" or "cuda".
    """
    kind = "cpu" if device == "cpu" else "cuda"
    affordable = _BUDGET[kind] * 1024 / (max(pixels, 256) * passes(cell))
    return max((size for size in _SIZES if size <= min(affordable, _LARGEST[kind])), default=_SIZES[0])


def grid(size: int, stop: int) -> Iterator[Range]:
    """The ranges of shards of at most `size` samples that cover 0 to `stop`, small ones first."""
    edges = [edge for edge in _SIZES if 100 <= edge <= size]
    start = 0
    while start < stop:
        edge = next((edge for edge in edges if edge > start), (start // size + 1) * size)
        yield start, min(edge, stop)
        start = edge


def missing(wanted: Range, stored: Iterable[Range]) -> Iterator[Range]:
    """The parts of a range that are not stored."""
    start, stop = wanted
    for low, high in sorted(stored):
        if low > start:
            yield start, min(low, stop)
        start = max(start, high)
        if start >= stop:
            return
    if start < stop:
        yield start, stop


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
        shared = isinstance(cell.perturbation, CorruptionSpec)
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
            Task(start, stop, tuple(those)) for (start, stop), those in sorted(shared_input.items(), key=_at)
        )
    return found


def _at(item: tuple[Range, list[Cell]]) -> Range:
    return item[0]
