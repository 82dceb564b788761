import subprocess
import sys

import ragemo

SLOW = ("numpy", "pydantic", "torch", "pandas", "transformers", "openai", "faiss", "sklearn")


def modules_after(program, *arguments):
    """Which of the slow modules a program has imported when it ends."""
    shown = f"print('\\n', *[name for name in {SLOW} if name in sys.modules], file=sys.stderr)"
    code = f"import atexit, sys\natexit.register(lambda: {shown})\n{program}"
    result = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr
    return result.stderr.splitlines()[-1].split()


def test_every_public_name_is_there_and_no_other_is():
    for name in ragemo.__all__:
        thing = getattr(ragemo, name)
        assert thing.__doc__, name
        assert thing.__module__.startswith("ragemo."), name
    assert sorted(dir(ragemo)) == sorted([*ragemo.__all__, "__version__"])
    assert ragemo.__all__ == sorted(ragemo.__all__)


def test_an_unknown_name_is_an_attribute_error():
    assert not hasattr(ragemo, "nonesuch")


def test_help_loads_nothing_slow():
    program = "from ragemo.__main__ import main; main()"
    assert modules_after(program, "--help") == []
    # Typer itself brings pydantic to a command's help.
    assert set(modules_after(program, "predict", "--help")) <= {"pydantic"}
    assert modules_after(program, "--version") == []
    # What it loads for work shows that the check can see.
    assert "pydantic" in modules_after("import ragemo; ragemo.Settings")


def test_importing_the_package_loads_nothing_slow():
    assert modules_after("import ragemo") == []
