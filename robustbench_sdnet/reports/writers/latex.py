"""A document as LaTeX with booktabs tables: complete, and each table ready to be copied into a paper."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ...wording import counted, visible
from ..document import Code, Document, Figure, Item, Section, Table
from ..numbers import Estimate, Missing

PREAMBLE = r"""\documentclass[10pt]{article}
\usepackage[T1]{fontenc}
\usepackage[utf8]{inputenc}
\IfFileExists{lmodern.sty}{\usepackage{lmodern}}{}
\usepackage[margin=2cm]{geometry}
\usepackage{booktabs,graphicx,longtable}
\setlength{\parindent}{0pt}
\setlength{\parskip}{4pt}
\setlength{\tabcolsep}{4pt}
\setlength{\LTpost}{2pt}
"""
PICTURE = r"width=\linewidth,height=.85\textheight,keepaspectratio"
_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "[": "{[}",
    "]": "{]}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}
_HEADINGS = {2: "section*", 3: "subsection*", 4: "subsubsection*"}


def render(document: Document, picture: Callable[[Figure], str]) -> str:
    """The whole text; `picture` says the address of a figure's file, relative to where the text will lie."""
    lines = [
        PREAMBLE.rstrip(),
        f"\\title{{{escape(document.title)}}}",
        "\\date{}",
        "\\begin{document}",
        "\\maketitle",
    ]
    lines += [escape(sentence) + "\n" for sentence in document.lead]
    for section in document.sections:
        lines += _section(section, picture)
    return "\n".join([*lines, "\\end{document}", ""])


def escape(text: str) -> str:
    """Text that means itself; characters outside ASCII, which a class may not know, as question marks."""
    plain = visible(" ".join(text.split())).encode("ascii", "replace").decode()
    return "".join(_SPECIAL.get(character, character) for character in plain)


def _section(section: Section, picture: Callable[[Figure], str]) -> Iterator[str]:
    yield ""
    yield f"\\{_HEADINGS[section.level]}{{{escape(section.title)}}}"
    for block in section.blocks:
        if isinstance(block, Table):
            yield from table_lines(block)
        elif isinstance(block, Figure):
            yield f"\\begin{{center}}\\includegraphics[{PICTURE}]{{{picture(block)}}}\\\\"
            yield f"{escape(block.title)}\\end{{center}}"
            for table in block.tables:
                yield from table_lines(table)
        elif isinstance(block, Code):
            yield from (f"\\texttt{{\\footnotesize {escape(line)}}}\\\\" for line in block.text.split("\n"))
        else:
            yield escape(block) + "\n"


def table_lines(table: Table) -> Iterator[str]:
    """The table, its title above, its notes and number of images below."""
    sides = "".join("l" if column in table.left else "r" for column in range(len(table.columns)))
    yield "{\\small"
    yield f"\\begin{{longtable}}[l]{{@{{}}{sides}@{{}}}}"
    if table.title:
        yield f"\\multicolumn{{{len(table.columns)}}}{{@{{}}l}}{{\\textbf{{{escape(table.title)}}}}}\\\\"
    yield "\\toprule"
    yield " & ".join(map(escape, table.columns)) + " \\\\"
    yield "\\midrule\\endhead"
    for items in table.rows:
        below = [_below(item, table) for item in items]
        # A starred end keeps a number and its interval on one page.
        yield " & ".join(_item(item, table) for item in items) + (" \\\\*" if any(below) else " \\\\")
        if any(below):
            yield " & ".join(below) + " \\\\"
    yield "\\bottomrule"
    yield "\\end{longtable}}"
    notes = [f"n = {counted(table.usual_n, 'image')}."] if table.usual_n else []
    for note in (*notes, *table.notes):
        yield f"{{\\footnotesize {escape(note)}\\par}}"


def _item(item: Item, table: Table) -> str:
    if not isinstance(item, Estimate):
        return "--" if isinstance(item, Missing) else escape(str(item))
    number = f"({item.percent})" if item.transfer else item.percent
    if item.untrusted:
        number += " untrusted"
    return number if table.stacked else f"{number} {_interval(item, table)}"


def _below(item: Item, table: Table) -> str:
    return _interval(item, table) if table.stacked and isinstance(item, Estimate) else ""


def _interval(item: Estimate, table: Table) -> str:
    other = f" n={item.n:,}" if item.n != table.usual_n else ""
    return f"{{\\scriptsize {item.interval('--')}{other}}}"
