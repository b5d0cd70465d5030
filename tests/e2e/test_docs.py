"""What the documentation says can be typed: every command in it against the commands themselves, and its files."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from robustbench_sdnet import attacks
from robustbench_sdnet.attacks.registry import ATTACKS, CHAINS
from robustbench_sdnet.cli import COMMANDS, cli
from robustbench_sdnet.corruptions.registry import CORRUPTIONS, expand
from robustbench_sdnet.corruptions.sequences.members import SEQUENCES
from robustbench_sdnet.data.registry import DATASETS
from robustbench_sdnet.diagnostics.finding import DIAGNOSTICS
from robustbench_sdnet.errors import SdnetBenchError
from robustbench_sdnet.reports import FORMATS
from robustbench_sdnet.reports.model_card import model_card
from robustbench_sdnet.specs.lambdas import POLICIES
from robustbench_sdnet.training.recipes.recipe import load_recipe, recipe_names
from robustbench_sdnet.zoo.nets.architectures import ARCHITECTURES
from robustbench_sdnet.zoo.shelf.index import entries

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
FENCE = re.compile(r"^```[^\n]*\n(.*?)^```", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"`(sdnet-bench [^`\n]+)`")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]+")
# Of other programs that the pages name: torchrun, ray, pip and Slurm.
OTHERS = {
    "--max-restarts", "--nproc-per-node", "--entrypoint-num-gpus", "--working-dir", "--head", "--port", "--address",
    "--block", "--nodes", "--gpus-per-node", "--cpus-per-task", "--ntasks-per-node", "--ntasks", "--overlap",
    "--logdir", "--nnodes",
}  # fmt: skip
FIRST = {"attack": {*ATTACKS, *CHAINS}, "report": {"to"}}


def texts() -> Iterator[tuple[str, str]]:
    """Every page and every text cell of a notebook, with where it stands."""
    for page in PAGES:
        yield str(page.relative_to(ROOT)), page.read_text(encoding="utf-8")
    for notebook in NOTEBOOKS:
        for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
            if cell["cell_type"] == "markdown":
                yield notebook.name, "".join(cell["source"])


def commands() -> Iterator[tuple[str, str]]:
    """Every command of ours: lines of code, continued lines joined, and code inside a sentence."""
    for where, text in texts():
        lines = "\n".join(FENCE.findall(text)).replace("\\\n", " ").split("\n")
        lines += [line for line in text.split("\n") if line.startswith("    sdnet-bench")]
        for line in (*lines, *INLINE.findall(FENCE.sub("", text))):
            for part in re.split(r"\s&&\s|\|\s", re.split(r"\s#\s", line)[0]):
                start = re.search(r"(?:(?<=\s)|^)(sdnet-bench|-m robustbench_sdnet)\s", part)
                if start and part[start.end() :].strip():
                    yield where, f"sdnet-bench {part[start.end() :]}".strip()


ALL = sorted(set(commands()))
TYPED = [
    (where, line)
    for where, line in ALL
    if not re.search(r"\[|\||\.\.\.|[A-Z]{4,}(?!_)", line.partition("#")[0])
]
FORMS = [pair for pair in ALL if pair not in TYPED]


def resolve(words: list[str]) -> tuple[click.Command, click.Context, list[str]]:
    """The command that the words name, and what is left for it."""
    context, command = click.Context(cli, info_name="sdnet-bench"), cli
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(context, words[0])
        assert found is not None, f"no command {words[0]}"
        command, words = found, words[1:]
        context = click.Context(command, parent=context)
    return command, context, words


def options(command: click.Command, context: click.Context) -> set[str]:
    return {name for param in command.get_params(context) for name in (*param.opts, *param.secondary_opts)}


def test_there_is_something_to_check() -> None:
    assert len(TYPED) > 100
    assert len(FORMS) > 8
    names = {line.split()[1] for _, line in TYPED}
    assert set(COMMANDS) <= names, set(COMMANDS) - names


@pytest.mark.parametrize(("where", "line"), TYPED, ids=lambda text: text)
def test_a_command_of_the_documentation_is_one(where: str, line: str) -> None:
    """It parses as it stands: commands, options, choices and ranges; then the names that it takes."""
    words = shlex.split(re.split(r"\s>\s", line)[0], comments=True)[1:]
    command, _, rest = resolve(words)
    if isinstance(command, click.Group):
        assert not rest or rest[0] in ("--help", "--version"), rest
    if isinstance(command, click.Group) or not rest:  # a sentence may name a command alone
        return
    try:
        given = command.make_context("x", list(rest)).params
    except click.exceptions.Exit:  # --help
        return
    assert "torch" not in str(command.callback)
    if command.name == "attack":
        assert given["name"] in FIRST["attack"] or ":" in given["name"]
    if command.name == "report":
        assert given["to"] == "to"
        assert given["format_name"] in (*FORMATS, "leaderboard", "bundle")
    if command.name == "corrupt":
        expand(given["corruptions"])
    if command.name == "train" and (given["recipe"] or "").find(".") < 0:
        pairs = dict(pair.split("=", 1) for pair in given.get("settings") or ())
        load_recipe(given["recipe"] or "published", pairs)


@pytest.mark.parametrize(("where", "line"), FORMS, ids=lambda text: text)
def test_the_form_of_a_command_names_its_options_and_choices(where: str, line: str) -> None:
    words = line.split()[1:]
    while words and not re.fullmatch(r"[a-z-]+", words[-1]) and len(words) > 1:
        words = words[:-1]
    command, context, _ = resolve([word for word in words if re.fullmatch(r"[a-z_-]+", word)][:2])
    known = options(command, context)
    assert set(OPTION.findall(line)) <= known, set(OPTION.findall(line)) - known
    for option, choices in re.findall(r"(--[a-z-]+) ([a-z0-9]+(?:\|[a-z0-9]+)+)", line):
        param = next(param for param in command.get_params(context) if option in param.opts)
        assert set(choices.split("|")) == set(getattr(param.type, "choices", ())), option


def test_every_option_that_a_sentence_names_is_one() -> None:
    known = set(OTHERS)
    for name in COMMANDS:
        command, context, _ = resolve([name])
        inner = command.list_commands(context) if isinstance(command, click.Group) else []
        for words in ([name], *([name, other] for other in inner)):
            known |= options(*resolve(words)[:2])
    for where, text in texts():
        for code in re.findall(r"`([^`]+)`", FENCE.sub("", text)):
            benchmark = re.search(r"benchmarks/\w+\.py", code)
            has = OPTION.findall((ROOT / benchmark[0]).read_text(encoding="utf-8")) if benchmark else known
            assert set(OPTION.findall(code)) <= set(has), f"{where}: {code}"


def test_every_page_is_in_the_navigation_and_every_link_of_the_readme_leads_somewhere() -> None:
    listed = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for page in (*(ROOT / "docs").rglob("*.md"), *NOTEBOOKS):
        assert str(page.relative_to(ROOT / "docs").with_suffix(".md")) in listed, page
    for target in re.findall(r"\]\((?!http)([^)#]+)", (ROOT / "README.md").read_text(encoding="utf-8")):
        assert (ROOT / target).exists(), target


NATIVE = [info for info in ATTACKS.values() if "+" not in info.name]  # `--then` makes the others
MEMBERS = {
    "attack.md": [*(info.name for info in NATIVE), *DIAGNOSTICS],
    "reference/attacks.md": [info.function.replace(":", ".") for info in NATIVE],
    "corrupt.md": [*(name for name, info in CORRUPTIONS.items() if info.family != "c-bar"), *SEQUENCES],
    "lambda.md": [name for name in POLICIES if name != "fixed"],
    "data.md": [*DATASETS],
    "train.md": [*ARCHITECTURES, *recipe_names()],
    "report.md": [*FORMATS],
}  # fmt: skip


@pytest.mark.parametrize("page", MEMBERS)
def test_every_member_of_a_family_is_on_its_page(page: str) -> None:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    missing = [
        name for name in MEMBERS[page] if not re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text)
    ]
    assert not missing, f"docs/{page} does not name {', '.join(missing)}"


def test_every_attack_has_its_name_in_python() -> None:
    missing = [info.name for info in NATIVE if info.name.replace("-", "_") not in attacks.__all__]
    assert not missing, f"attacks/__init__.pyi does not name {', '.join(missing)}"


def test_the_help_of_report_names_every_format() -> None:
    text = resolve(["report"])[0].help or ""
    missing = [name for name in FORMATS if not re.search(rf"\b{name}\b", text)]
    assert not missing, f"the help of commands/report.py does not name {', '.join(missing)}"


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.name)
def test_every_model_that_ships_has_its_card_in_the_documentation(entry) -> None:
    path = ROOT / "docs" / "models" / f"{entry.name.replace('/', '-')}.md"
    remedy = f"sdnet-bench zoo card {entry.name} --output docs/models/{path.name}, and a line in mkdocs.yml"
    assert path.exists(), remedy
    assert path.read_text(encoding="utf-8") == model_card(entry), remedy


def test_what_is_wrong_is_found() -> None:
    for line in ("corrupt --severty 1", "attack pgd --norm l7", "study --limit 3", "attack pdg --limit 3"):
        with pytest.raises((click.UsageError, SdnetBenchError, AssertionError)):
            test_a_command_of_the_documentation_is_one("here", f"sdnet-bench {line}")
    for line in ("sdnet-bench attack [--epz 8/255]", "sdnet-bench attack ATTACK [--norm linf|l2]"):
        with pytest.raises(AssertionError):
            test_the_form_of_a_command_names_its_options_and_choices("here", line)
