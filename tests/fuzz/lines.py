"""Seeded command lines: every command and option that click knows, with values that are sound, odd or hostile."""

from __future__ import annotations

import random
import shlex
from collections.abc import Iterator, Mapping, Sequence

import click

from robustbench_sdnet.cli import COMMANDS, cli

HOSTILE = (
    *(
        "",
        " ",
        "-",
        "--",
        "-1",
        "0",
        "1e999999999",
        "-1e999999999",
        "1e-999999999",
        "nan",
        "inf",
        "-inf",
        "NaN",
    ),
    *(
        "9" * 30,
        "9" * 5000,
        "0x10",
        "1_000",
        "\u0663",
        "1/0",
        "0/0",
        "1e400",
        "2**70",
        "9223372036854775808",
        "None",
    ),
    *(
        "\x1b[31mX\x07",
        "a\nb",
        "$x$",
        "$title ${body} $$",
        "=1+1",
        "@x",
        "%s%n",
        "{}",
        "[]",
        "../../..",
        "~nouser/x",
    ),
    *(
        "/dev/zero",
        "/dev/full",
        "/proc/self/mem",
        "x" * 5000,
        "/".join("x" * 300),
        "\u65e5\u672c",
        "\udce9",
        ":",
        "::",
    ),
    *(
        "http://[",
        "https://[::1",
        "file:///etc/passwd",
        "npz:",
        "npz:/dev/zero",
        "npz:~nouser/x",
        "cifar10c:/dev",
    ),
    *(
        "cifar10c:.",
        "cifar10.1:/dev/zero",
        "__main__:x",
        "robustbench_sdnet.cli:main",
        "sys:exit",
        "a.b.c:d",
        "x:y:z",
    ),
    *(
        "os.path:join",
        "json:nothing",
        "timm:",
        "robustbench:x",
        "cifar10/none",
        "model.pt?mean=x",
        "/dev/zero.pt",
    ),
    *(
        "sqlite:///",
        "sqlite:///x.db?timeout=abc",
        "sqlite:///a%00b.db",
        "postgresql://h:abc/d",
        "mysql://x",
        "auto:1",
    ),
    *(
        "cuda:99",
        "cpu:1",
        "cuda:-1",
        "first:last:step",
        "0:1e999999:1e-999999",
        "0:1:0",
        "1:0:0.1",
        "0:1:1e-60",
    ),
    *(
        "calibrated:",
        "calibrated:x",
        "label-free:",
        "fixed:",
        "fixed:1e999",
        "oracle:x",
        "all,",
        ",",
        "1-",
        "-5",
        "5-1",
    ),
    *(
        "steps=1e999",
        "steps=" + "9" * 30,
        "=",
        "a=b=c",
        "step_size=1/0",
        "restarts=" + "9" * 30,
        "train.epochs=.inf",
    ),
    *(
        "train.epochs=!!int x",
        "train.lr=" + "9" * 400,
        "train.milestones=[.inf]",
        "model.mean=x",
        "model.lam=.inf",
    ),
    *(
        "train.epochs=[" * 50,
        "train.nesterov=!!bool x",
        "train.eps=2020-13-45",
        "model.width=&a [*a]",
        "train=1",
    ),
)
SOUND: Mapping[str, Sequence[str]] = {
    "data": ("npz:tiny.npz", "cifar10c:corrupted", "digits"),
    "models": ("runs/sdnet", "runs/resnet", "mine:make"),
    "model": ("runs/sdnet", "runs/resnet", "mine:make"),
    "source": ("runs/sdnet", "runs/resnet"),
    "others": ("runs/resnet",),
    "checkpoint": ("runs/sdnet", "runs/resnet/best.safetensors", "old.pth"),
    "attack name": (
        "fgsm",
        "pgd",
        "noise",
        "apgd-ce",
        "fab-t",
        "foolbox:LinfFastGradientAttack",
        "torchattacks:FGSM",
    ),
    "data prepare name": ("cifar10c",),
    "zoo export name": ("tiny/a",),
    "train source": ("npz:tiny.npz",),
    "pairs": ("steps=2", "random_start=false"),
    "arch": ("resnet20", "sdnet20"),
    "depths": ("0", "0,1"),
    "corruption": ("fog@3", "contrast@1"),
    "engine": ("local",),
    "eps": ("8/255", "0,8/255", "0.03", "1"),
    "lambdas": ("0.1", "0.1,0.4", "0.1:0.3:0.1", "label-free", "oracle"),
    "attack_lambdas": ("0.1", "0.1,0.4", "label-free:noise"),
    "corruptions": ("gaussian_noise", "fog,contrast", "digital"),
    "severities": ("3", "1,5", "1-2"),
    "levels": ("0.1", "0.02:0.1:0.04"),
    "store": ("sqlite:///s.db", "sqlite:///new.db"),
    "runs": ("runs", "nowhere"),
    "output": ("out", "out.md", "out/a.png"),
    "limit": ("1", "2", "3"),
    "seed": ("0", "7"),
    "device": ("cpu", "auto"),
    "batch_size": ("1", "250"),
    "steps": ("1", "2"),
    "restarts": ("1",),
    "settings": ("train.epochs=2", "model.width=4"),
    "recipe": ("smoke", "recipe.yaml"),
    "data_root": ("root",),
    "folder": ("adversarials",),
    "accuracy": ("0.5",),
    "robust": ("pgd=0.5",),
    "workers": ("1", "2"),
}
# What keeps a sound line quick; given unless the line has it already.
QUICK: Mapping[str, Sequence[str]] = {
    "attack": ("--data", "npz:tiny.npz", "--model", "runs/sdnet", "--limit", "2", "--steps", "2"),
    "corrupt": shlex.split("--data npz:tiny.npz --model runs/sdnet --limit 2 --corruption contrast"),
    "visualize": ("--data", "npz:tiny.npz", "--limit", "2", "--depth", "0", "--output", "pictures"),
    "diagnose": ("--data", "npz:tiny.npz", "--limit", "2", "--cheap"),
    "train": ("--dry-run",),
    "zoo verify": ("--data", "npz:tiny.npz", "--limit", "2"),
    "data generate": ("--data", "npz:tiny.npz", "--limit", "2", "--corruption", "contrast", "--workers", "1"),
    "data show": ("--data", "npz:tiny.npz", "--images", "1", "--corruption", "contrast"),
    "zoo export": ("--output", "exported.safetensors"),
}
# Minutes of work or gigabytes: only what must be refused.
REFUSED_ONLY = ("study", "quickstart", "data prepare")
REFUSED = shlex.split("--device auto:1 --limit nan --output ~nouser/x --data-root ~nouser/x --nonsense 1")


def _commands() -> dict[str, click.Command]:
    """Every command by its words, in an order that does not change."""
    found: dict[str, click.Command] = {}
    context = click.Context(cli)
    for name in COMMANDS:
        command = cli.get_command(context, name)
        if isinstance(command, click.Group):
            inner = click.Context(command)
            for part in command.list_commands(inner):
                found[f"{name} {part}"] = command.get_command(inner, part)
        elif command is not None:
            found[name] = command
    return found


def lines(count: int, seed: int) -> Iterator[list[str]]:
    """Command lines; the same for the same seed and the same options."""
    draw = random.Random(seed)
    commands = _commands()
    for number in range(count):
        name = list(commands)[number % len(commands)]
        yield _line(draw, name, commands[name])


def _line(draw: random.Random, name: str, command: click.Command) -> list[str]:
    arguments = [param for param in command.params if isinstance(param, click.Argument)]
    options = [param for param in command.params if isinstance(param, click.Option)]
    chosen = draw.sample(options, min(len(options), draw.choice((0, 1, 1, 2, 2, 3, 5))))
    chosen += [option for option in options if option.required and option not in chosen]
    odd = draw.random() < 0.85  # else sound throughout
    words: list[str] = []
    for param in arguments:
        many = 1 if param.nargs == 1 else draw.choice((0, 1, 2))
        words += [_value(draw, name, param, hostile=odd and draw.random() < 0.25) for _ in range(many)]
    for option in chosen:
        flag = draw.choice(option.opts)
        if option.is_flag:
            words.append(flag)
        else:
            words += [flag, _value(draw, name, option, hostile=odd and draw.random() < 0.6)]
    quick = list(QUICK.get(name, ()))
    while quick:
        value = [quick.pop(0)]
        if quick and not quick[0].startswith("--"):
            value.append(quick.pop(0))
        names = [option.opts for option in options if value[0] in option.opts]
        if names and not set(names[0]) & set(words):
            words += value
    if name in REFUSED_ONLY:
        at = 2 * draw.randrange(len(REFUSED) // 2)
        words += REFUSED[at : at + 2]
    return [*name.split(), *words]


def _value(draw: random.Random, command: str, param: click.Parameter, *, hostile: bool) -> str:
    if hostile:
        return draw.choice(HOSTILE)
    if isinstance(param.type, click.Choice):
        return str(draw.choice(list(param.type.choices)))
    for key in (f"{command} {param.name}", str(param.name)):
        if key in SOUND:
            return draw.choice(SOUND[key])
    if isinstance(param.type, click.IntRange | click.FloatRange):
        return draw.choice(("1", "2"))
    return draw.choice(("x", "1", "tiny/a"))
