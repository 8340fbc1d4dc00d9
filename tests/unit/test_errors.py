"""Every error says what was found and what to do, and has no need of a traceback."""

from pathlib import Path

from ansorc.compiler import errors


def test_messages() -> None:
    known = ("native", "haswell")
    cases = [
        (errors.UnknownTargetError("x", known), ("'x'", "native, haswell")),
        (errors.NotYetError("tuning", "use 0"), ("tuning", "not available yet", "use 0")),
        (errors.InvalidOptionError("threads", 0, "1 to 4"), ("threads", "0", "1 to 4")),
        (errors.InvalidKnobError("ANSORC_JOBS", "x", "a number"), ("ANSORC_JOBS", "a number")),
        (errors.UnwritableOutputError(Path("/x/y"), "no folder"), ("/x/y", "no folder")),
        (errors.UnknownStageError("x", ("so",)), ("'x'", "so")),
        (errors.UnknownPassError("p", "unknown"), ("'p'", "unknown")),
    ]
    for error, parts in cases:
        assert isinstance(error, errors.AnsorcError)
        assert all(part in str(error) for part in parts), str(error)


def test_a_failed_task_names_the_command() -> None:
    error = errors.TaskFailedError("task_3f", "ended by SIGABRT", "LLVM ERROR\n", "ansorc-opt x")
    assert str(error).splitlines() == [
        "compiling task_3f failed: ended by SIGABRT",
        "  | LLVM ERROR",
        "to reproduce: ansorc-opt x",
    ]
