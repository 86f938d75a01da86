"""The command's frame: table of sub-commands, lazy imports, exit codes."""

from __future__ import annotations

import sys
import types

import pytest

from robotseg_ros import __version__
from robotseg_ros.cli import main as cli
from robotseg_ros.cli.errors import BadInput


def install(monkeypatch, run, name="probe", extra=""):
    """Adds a sub-command whose `run` is the given function."""
    module = types.ModuleType(f"robotseg_ros.cli.{name}", "A probe.\n\nIts long text.")
    module.__spec__ = types.SimpleNamespace()  # type: ignore[assignment]
    module.add_arguments = lambda parser: parser.add_argument("--times", type=int, default=1)  # type: ignore[attr-defined]
    module.run = run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(cli.COMMANDS, name, cli.Command(module.__name__, "a probe", extra))


def raising(error):
    def run(args):
        raise error

    return run


def test_version_and_help_from_a_real_process(robotseg):
    for module in ("robotseg_ros", "robotseg_ros.cli.main"):
        done = robotseg("--version", module=module)
        assert (done.returncode, done.stdout.strip()) == (0, f"robotseg {__version__}")
    done = robotseg("--help")
    assert done.returncode == 0
    for name in ("segment", "doctor"):
        assert name in done.stdout


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["segment"], ["segment", "a.mp4", "--nonsense"]])
def test_wrong_usage_is_exit_code_2(command, arguments):
    done = command(*arguments)
    assert done.code == 2
    assert "usage: robotseg" in done.errors


def test_help_of_a_command_shows_its_own_arguments(monkeypatch, capsys):
    install(monkeypatch, lambda args: 0)
    with pytest.raises(SystemExit) as caught:
        cli.main(["probe", "--help"])
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    assert "Its long text." in shown and "--times" in shown


@pytest.mark.parametrize("code", [0, 1, 130])
def test_the_code_of_a_command_is_the_code_of_the_process(monkeypatch, code):
    install(monkeypatch, lambda args: code)
    assert cli.main(["probe", "--times", "3"]) == code


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (BadInput("a.mp4: no such file"), 2, "robotseg probe: a.mp4: no such file"),
        (RuntimeError("disk full"), 1, "robotseg probe: failed: RuntimeError: disk full"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (ModuleNotFoundError("No module named 'mujoco'", name="mujoco"), 1, "pip install mujoco"),
    ],
)
def test_errors_become_one_line_and_an_exit_code(monkeypatch, capsys, error, code, words):
    install(monkeypatch, raising(error))
    assert cli.main(["probe"]) == code
    shown = capsys.readouterr().err
    assert words in shown and "Traceback" not in shown


def test_a_missing_package_names_the_extra_that_brings_it(monkeypatch, capsys):
    install(monkeypatch, raising(ImportError("no mujoco")), extra="render")
    assert cli.main(["probe"]) == 1
    assert "pip install 'robotseg_ros[render]'" in capsys.readouterr().err


def test_debug_shows_the_traceback(monkeypatch, capsys):
    install(monkeypatch, raising(RuntimeError("disk full")))
    assert cli.main(["--debug", "probe"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_a_command_that_does_not_import_breaks_only_itself(monkeypatch, capsys, tmp_path):
    (tmp_path / "broken_command.py").write_text("import a_package_that_nobody_has\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(cli.COMMANDS, "broken", cli.Command("broken_command", "needs much", "render"))
    install(monkeypatch, lambda args: 0)
    assert cli.main(["probe"]) == 0
    assert cli.main(["broken"]) == 1
    shown = capsys.readouterr().err
    assert "a_package_that_nobody_has" in shown and "robotseg_ros[render]" in shown


def test_a_command_whose_module_is_not_shipped_is_not_offered(monkeypatch, capsys):
    monkeypatch.setitem(cli.COMMANDS, "later", cli.Command("robotseg_ros.cli.not_written_yet", "comes later"))
    with pytest.raises(SystemExit) as caught:
        cli.main(["later"])
    assert caught.value.code == 2
    assert "invalid choice" in capsys.readouterr().err


def test_help_imports_neither_torch_nor_ros(robotseg, tmp_path):
    probe = tmp_path / "probe.py"
    probe.write_text(
        "import sys\n"
        "from robotseg_ros.cli.main import main\n"
        "try:\n    main(['segment', '--help'])\nexcept SystemExit:\n    pass\n"
        "print('heavy:', [name for name in ('torch', 'rclpy', 'sam2') if name in sys.modules])\n"
    )
    done = robotseg(module="probe")
    assert "heavy: []" in done.stdout, done.stdout + done.stderr
