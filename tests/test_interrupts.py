"""SIGTERM and SIGHUP end every command as Ctrl-C does."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import ModuleType

import pytest

from robustbench_sdnet import __main__, cli
from robustbench_sdnet.interrupts import as_ctrl_c
from robustbench_sdnet.store.store import Store


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_an_exception_and_the_handler_goes(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    came: list[str] = []
    with pytest.raises(KeyboardInterrupt), as_ctrl_c(came):
        signal.raise_signal(number)
    assert came == [number.name]
    assert signal.getsignal(number) == before


def test_what_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with as_ctrl_c([]):
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_another_thread_catches_nothing() -> None:
    seen: list[object] = []

    def work() -> None:
        with as_ctrl_c([]):
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGTERM)]


def test_an_interrupt_while_the_command_is_imported_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted(ModuleType):
        def __getattr__(self, name: str) -> object:
            raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "robustbench_sdnet.cli", Interrupted("cli"))
    with pytest.raises(SystemExit, match=r"^Error: Stopped\.$"):  # which Python prints, and exits with 1
        __main__.main()


@pytest.mark.parametrize("command", ["corrupt", "attack", "study", "data prepare", "data generate"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_every_command_says_how_to_go_on(
    command: str, number: signal.Signals, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(**_: object) -> None:
        os.kill(os.getpid(), number)
        time.sleep(5)

    monkeypatch.setattr(cli.cli, "invoke", lambda context: work())
    with pytest.raises(SystemExit) as left:
        cli.main(command.split())
    assert left.value.code == 1
    assert capsys.readouterr().err.strip() == (
        f"Error: Stopped by {number.name}. What was finished is stored; run the same command again to go on."
    )


@pytest.mark.parametrize("command", ["visualize", "diagnose", "report", "zoo", "train", "data show"])
def test_a_command_that_keeps_nothing_does_not_say_that_it_does(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.cli, "invoke", work)
    with pytest.raises(SystemExit) as left:
        cli.main(command.split())
    assert left.value.code == 1
    assert capsys.readouterr().err.strip() == "Error: Stopped."


def test_a_library_that_raises_an_interrupt_of_its_own_hides_no_signal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(_: object) -> None:
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.cli, "invoke", work)
    with pytest.raises(SystemExit):
        cli.main(["corrupt"])
    assert capsys.readouterr().err.strip().startswith("Error: Stopped by SIGTERM.")


def test_ctrl_c_in_code_that_a_library_wrote_as_text_is_exit_1_too(tmp_path: Path) -> None:
    (tmp_path / "stopped.py").write_text(
        "from robustbench_sdnet import cli\n"
        "cli.cli.invoke = lambda context: exec('raise KeyboardInterrupt')\n"
        "cli.main(['corrupt'])\n"
    )
    paths = {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    run = subprocess.run(
        [sys.executable, "-m", "stopped"], env={**os.environ, **paths}, capture_output=True, text=True
    )
    assert run.returncode == 1
    assert run.stderr.strip().startswith("Error: Stopped. What was finished is stored")


@pytest.mark.slow
def test_corrupt_keeps_what_is_stored(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/results.db"
    arguments = [*shlex.split("corrupt --data digits --model digits/resnet20-at --limit 300 --store"), url]
    process = subprocess.Popen(
        [sys.executable, "-m", "robustbench_sdnet", *arguments], stderr=subprocess.PIPE, text=True
    )
    end = time.monotonic() + 120

    def stored() -> int:
        if not (tmp_path / "results.db").exists():
            return 0
        with Store(url) as store:
            return sum(len(ranges) for ranges in store.ranges().values())

    while time.monotonic() < end and process.poll() is None and not stored():
        time.sleep(0.1)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert said.rstrip().endswith(
        "Stopped by SIGTERM. What was finished is stored; run the same command again to go on."
    )
    assert stored()
