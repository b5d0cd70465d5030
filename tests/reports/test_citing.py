"""What a report used, as BibTeX, and commands that the command line takes and that ask the same again."""

from __future__ import annotations

import shlex
from dataclasses import replace

import yaml

from robustbench_sdnet.answers.trust import Finding
from robustbench_sdnet.attacks.libraries import LIBRARIES
from robustbench_sdnet.attacks.registry import ATTACKS, chain
from robustbench_sdnet.commands.attack import attack as attack_command
from robustbench_sdnet.commands.corrupt import corrupt as corrupt_command
from robustbench_sdnet.corruptions.registry import CORRUPTIONS
from robustbench_sdnet.corruptions.sequences.members import SEQUENCES
from robustbench_sdnet.planning.chains import warmed
from robustbench_sdnet.reports.citing import WORKS, citing, commands, works_used
from robustbench_sdnet.reports.writers import html, latex, markdown
from robustbench_sdnet.specs import CorruptionSpec, LambdaSpec, SequenceSpec, params
from robustbench_sdnet.specs.models import Repeats

from ..conftest import GOLDEN
from .made_records import PASSED, RESNET, SDNET, attack, corruption, record, snapshot, study

LEVELS = (("gaussian", "0.02"), ("gaussian", "0.2"), ("shot", "60"), ("shot", "6"))


def test_a_report_cites_what_it_used_and_nothing_else() -> None:
    assert works_used([record(190)]) == []
    assert works_used(study()) == ["sdnet", "corruptions", "pgd", "obfuscated"]
    stages = [attack(f"autoattack/{name}", "8/255", 20) for name in ("apgd-ce", "fab-t", "square")]
    assert works_used([*stages, attack("foolbox:LinfPGD", "8/255", 3)]) == [
        "autoattack",
        "fab",
        "square",
        "foolbox",
    ]
    text = citing(snapshot(study())).blocks[1].text
    assert text.count("@inproceedings{") == 4
    assert "note = {arXiv:2210.12945}" in text
    assert "Write the path of a run or a file in place of its name:" in citing(snapshot(study())).blocks[2]


def test_every_attack_corruption_and_library_has_its_work() -> None:
    """What is added to a registry is cited: random noise alone comes from nobody."""
    stages = {stage for info in ATTACKS.values() for stage, _ in chain(info.name, info.params)} - {"noise"}
    attacked = {name: works_used([attack(name, "8/255", 1)]) for name in stages}
    attacked |= {name: works_used([attack(f"{name}:Any", "8/255", 1)]) for name in LIBRARIES}
    corrupted = {name: works_used([corruption(name, 1, 1)]) for name in CORRUPTIONS}
    corrupted |= {name: works_used([record(1, spec=SequenceSpec(name=name, frames=2))]) for name in SEQUENCES}
    uncited = [name for name, works in (attacked | corrupted).items() if not works]
    assert not uncited, f"works.bib has no entry for the work of {', '.join(uncited)}"
    assert attacked["sigma-zero"] == ["sigmazero"]
    assert corrupted["perlin_noise"] == ["cbar"]
    more = [attack("apgd-t", "12", 1, norm="l1", findings=(PASSED,)), record(1, model=SDNET, lam=0.1)]
    assert works_used(more) == ["sdnet", "autoattack", "mindthebox", "obfuscated"]
    cited = {work for works in (attacked | corrupted).values() for work in works} | set(works_used(more))
    assert cited == set(WORKS)


def test_what_says_nothing_of_where_it_comes_from_is_cited_as_nothing(monkeypatch) -> None:
    own = replace(CORRUPTIONS["fog"], work="")
    monkeypatch.setattr("robustbench_sdnet.reports.citing.CORRUPTIONS", {**CORRUPTIONS, "fog": own})
    assert works_used([corruption("fog", 1, 9)]) == []


def test_commands_ask_the_same_again() -> None:
    answers = [corruption(name, level, 9, 10) for name in ("fog", "gaussian_noise") for level in (1, 5)]
    answers += [corruption("fog", 5, 9, 40, model=SDNET, lam=lam) for lam in (0.5, 0.1, "calibrated")]
    answers += [attack("pgd", eps, 5, steps=40, norm="l2") for eps in ("0.5", "0.25")]
    answers += [attack("autoattack/square", "8/255", 5), attack("noise", "8/255", 9)]
    answers += [attack("pgd", "8/255", 5, model=SDNET, lam=0.1, lam_attack=lam) for lam in (0.1, 0.5)]
    found = list(commands(snapshot(answers)))
    assert found == [
        "sdnet-bench attack autoattack --data digits --model resnet20 --eps 8/255 --limit 200",
        "sdnet-bench attack pgd --data digits --model resnet20 --eps 0.25,0.5 --norm l2 --set steps=40 --limit 200",
        "sdnet-bench attack pgd --data digits --model sdnet20 --eps 8/255 --attack-lambda 0.1,0.5 --lambda 0.1 "
        "--limit 200",
        "sdnet-bench corrupt --data digits --model resnet20 --model sdnet20 --corruption gaussian_noise,fog "
        "--severity 1,5 --lambda 0.1,0.5,calibrated --limit 40",
    ]  # fmt: skip
    for line in found:
        _, name, *words = shlex.split(line)
        command = attack_command if name == "attack" else corrupt_command
        context = command.make_context(name, words)
        assert context.params["limit"] in (40, 200), "the command line takes it"
    # One command for what was asked of several models: of resnet20, for instance, all 40 images.
    assert "and more where models or lambdas were not all run alike" in citing(snapshot(answers)).blocks[2]


def test_commands_ask_for_the_diagnostics_that_were_run() -> None:
    def said(*findings: Finding) -> str:
        (line,) = commands(snapshot([attack("pgd", "8/255", 5, findings=findings)]))
        _, name, *words = shlex.split(line)
        context = attack_command.make_context(name, words)
        return str(context.params["verdicts"])

    square = Finding("gradient_free_wins", "pass", 0.0, "Square breaks nothing more.", 200)
    assert said() == "None"
    assert said(PASSED, replace(square, verdict="not_run", images=None)) == "cheap"
    assert said(PASSED, square) == "full"


def test_commands_ask_as_far_as_images_were_seen_whatever_lies_between() -> None:
    lost = [*range(100), *range(150, 300)]
    (line,) = commands(snapshot([corruption("fog", 5, 9, 250, images=lost)]))
    assert line.endswith("--limit 300")


def test_commands_say_variants_options_of_libraries_warm_starts_and_how_draws_count() -> None:
    variant = attack("autoattack(seed=1,variant=rand)/apgd-dlr", "8/255", 5)
    library = attack("foolbox:LinfPGD", "8/255", 5)
    shown = replace(library.cell, perturbation=replace(library.cell.perturbation, shown="steps=7"))
    first = attack("pgd", "8/255", 5, model=SDNET, lam=0.1)
    second = attack("pgd", "8/255", 5, model=SDNET, lam=0.5)
    warm = warmed(second.cell, first.cell)
    drawn = replace(RESNET, options=params({"randomised": True})).counted(Repeats(5, "any"))
    answers = [variant, first, replace(library, cell=shown), replace(second, id=warm.id, cell=warm)]
    levels = [record(9, spec=CorruptionSpec(name=f"{name}_noise", level=level)) for name, level in LEVELS]
    lams = (LambdaSpec("0.5", "all"), LambdaSpec("1", "all"))
    whole = [replace(first.cell, lam=lams[0], lam_attack=lam) for lam in lams]
    answers += [*levels, *(replace(first, id=cell.id, cell=cell) for cell in whole)]
    asked = list(commands(snapshot([*answers, corruption("fog", 1, 9, model=drawn)])))
    assert asked == [
        "sdnet-bench attack pgd --data digits --model sdnet20 --eps 8/255 --attack-lambda 0.5,1 --lambda 0.5 "
        "--lambda-scope all --limit 200",
        "sdnet-bench attack autoattack --data digits --model resnet20 --eps 8/255 --set variant=rand --limit 200",
        "sdnet-bench attack foolbox:LinfPGD --data digits --model resnet20 --eps 8/255 --set steps=7 --limit 200",
        "sdnet-bench attack pgd --data digits --model sdnet20 --eps 8/255 --lambda 0.1 --limit 200",
        "sdnet-bench attack pgd --data digits --model sdnet20 --eps 8/255 --warm-start --lambda 0.1,0.5 --limit 200",
        "sdnet-bench corrupt --data digits --model resnet20 --corruption gaussian_noise --level 0.02,0.2 --limit 200",
        "sdnet-bench corrupt --data digits --model resnet20 --corruption shot_noise --level 6,60 --limit 200",
        "sdnet-bench corrupt --data digits --model resnet20 --corruption fog --severity 1 "
        "--draws 5 --protocol any --limit 200",
    ]


def test_hostile_names_stay_one_word_of_a_command() -> None:
    odd = "$(touch x); `a` ``` \n</pre><script>alert(1)</script> \\end{document}"
    answers = [corruption("fog", 1, 9, model=replace(RESNET, name=odd))]
    (line,) = commands(snapshot(answers))
    assert shlex.split(line)[5] == odd
    (line,) = commands(snapshot([attack("pgd", "8/255", 5, steps=odd)]))
    assert f"steps={odd}" in shlex.split(line)
    from robustbench_sdnet.reports.content import build

    document = build(snapshot(answers))
    page = html.render(document, lambda figure: "")
    assert "<script>alert" not in page
    assert latex.render(document, lambda figure: "").count(r"\end{document}") == 1
    copied = [
        one
        for one in markdown.render(document, lambda figure: "").splitlines()
        if "sdnet-bench corrupt" in one
    ]
    assert all(one.startswith("    sdnet-bench corrupt") for one in copied)


def test_the_software_can_be_cited() -> None:
    found = yaml.safe_load((GOLDEN.parents[1] / "CITATION.cff").read_text())
    assert found["cff-version"] == "1.2.0"
    assert {"title", "authors", "message", "license"} <= set(found)
