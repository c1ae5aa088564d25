import dataclasses
import errno
import pathlib
import sys
import warnings

import pytest
import tensorflow as tf

from tfdl import errors
from tfdl.training import cli, flags, verbs


@dataclasses.dataclass(frozen=True)
class Config:
    """Train a toy."""

    data: flags.Data = dataclasses.field(default_factory=flags.Data)
    optimization: flags.Optimization = dataclasses.field(
        default_factory=flags.Optimization
    )
    run: flags.Run = dataclasses.field(default_factory=flags.Run)
    model: str = "small"
    """small or large."""

    def __post_init__(self):
        flags.choose("--model", self.model, ["small", "large"])


PRESETS = {
    "tiny": Config(data=flags.Data("folder:photos", batch_size=7)),
    "big": Config(model="large"),
}


@pytest.fixture
def app(monkeypatch, capsys):
    """Run the toy app; return (exit code, flags its verb got, stdout, stderr lines)."""
    monkeypatch.setattr(sys, "argv", ["apps/toy.py"])
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments, raises=None):
        got = []

        def train(config):
            got.append(config)
            if raises is not None:
                raise raises

        def evaluate(options):
            got.append(options)

        def predict(options):
            got.append(options)

        offered = dict(
            zip(
                (train, evaluate, predict),
                (Config, verbs.Evaluate, verbs.Predict),
                strict=True,
            )
        )
        code = cli.main(
            offered, "What it does.", presets=PRESETS, task="toy", arguments=arguments
        )
        said = capsys.readouterr()
        return code, got[0] if got else None, said.out, said.err.splitlines()

    return run


UNAVAILABLE = tf.errors.UnavailableError(
    None,
    None,
    "Graph execution error:\n\nDetected at node Add defined at (most recent call last):"
    "\n<stack traces unavailable>\nConnection reset by peer\n\t [[{{node Add}}]]",
)
FAILURES = [
    (errors.UsageError("--flag is wrong", "set it"), 2, "--flag is wrong"),
    (errors.DataError("a.png is broken", "mend it"), 3, "a.png is broken"),
    (errors.ModelFileError("no run", "train"), 4, "no run"),
    (errors.DivergedError("step 3", "lower it"), 5, "step 3"),
    (errors.ResourceError("disk", "free it"), 6, "disk"),
    (errors.NetworkError("no network", "connect"), 7, "no network"),
    (errors.InterruptedRun("stopped", "again"), 75, "stopped"),
    (errors.InterruptedRun("stopped", "again", exit_code=130), 130, "stopped"),
    (KeyboardInterrupt(), 130, "stopped by Ctrl-C"),
    (UNAVAILABLE, 75, "a worker is lost: Connection reset by peer"),
    (tf.errors.UnavailableError(None, None, ""), 75, "a worker is lost"),
    (OSError(errno.ENOSPC, "No space left on device"), 6, "No space left"),
    (MemoryError(), 6, "the memory is exhausted"),
    (tf.errors.ResourceExhaustedError(None, None, "OOM"), 6, "exhausted: OOM"),
    (tf.errors.NotFoundError(None, None, "x/1.png; No such file"), 3, "x/1.png"),
    (ZeroDivisionError("division by zero"), 1, "ZeroDivisionError: division by zero"),
    (ValueError("two\nlines"), 1, "ValueError: two"),
    (KeyError(""), 1, "KeyError"),
    (ValueError("\n"), 1, "ValueError"),
]


@pytest.mark.parametrize(("failure", "code", "message"), FAILURES)
def test_every_exception_is_two_lines_and_its_exit_code(app, failure, code, message):
    got, _, _, lines = app("train", raises=failure)
    assert got == code
    assert len(lines) == 2
    assert lines[0].startswith("error: ")
    assert message in lines[0]
    assert lines[1].startswith("remedy: ")
    assert len(lines[1]) > len("remedy: ")


def test_debug_adds_the_traceback_above(app):
    code, _, _, lines = app("train", "--debug", raises=errors.DataError("a", "b"))
    assert code == 3
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-2:] == ["error: a", "remedy: b"]


def test_a_reason_inside_a_graph_is_what_is_said(app):
    @tf.function
    def fail():
        return tf.debugging.check_numerics(tf.zeros([2]) / 0.0, "bad numbers")

    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        fail()
    _, _, _, lines = app("train", raises=caught.value)
    assert lines[0] == (
        "error: InvalidArgumentError: bad numbers : Tensor had NaN values"
    )


def test_all_well_is_0_and_silent(app):
    code, config, said, lines = app("train", "--batch-size", "3", "--data", "mnist:x")
    assert (code, said, lines) == (0, "", [])
    assert (config.data.batch_size, config.data.source) == (3, "mnist:x")


@pytest.mark.parametrize(
    ("arguments", "message", "remedy"),
    [
        ([], "name a verb: train, evaluate, predict", "VERB --help"),
        (["trian"], "verb trian is unknown. Did you mean train?", "choose one of"),
        (["train", "--preset", "tinny"], "--preset tinny is unknown.", "tiny, big"),
        (["train", "--preset"], "--preset", "tiny, big"),
        (["train", "--bach-size", "3"], "--bach-size", "did you mean --batch-size?"),
        (["train", "--data-source", "x"], "--data-source", "--help lists the flags"),
        (["train", "--batch-size", "three"], "--batch-size: invalid literal", "--help"),
        (["train", "--batch-size"], "Missing value for argument '--batch-size'", "--h"),
        (["train", "--sampling", "even"], "'even' for argument '--sampling'", "--help"),
        (["evaluate"], "--run PATH", "python apps/toy.py evaluate --help"),
        (["train", "stray"], "stray", "--help lists the flags"),
        # What our own checks say, tyro would put into its words.
        (["train", "--batch-size", "0"], "--batch-size must be at least 1.", "1 or mo"),
        (
            ["train", "--model", "smal"],
            "--model smal is unknown. Did you mean small?",
            "",
        ),
        (["train", "--optimizer", "adma"], "Did you mean adam?", "choose one of sgd"),
    ],
)
def test_a_wrong_command_is_a_usage_error_of_two_lines(app, arguments, message, remedy):
    code, got, said, lines = app(*arguments)
    assert (code, got, said) == (2, None, "")
    assert len(lines) == 2
    assert message in lines[0]
    assert remedy in lines[1]
    assert not set("│╭╰─") & set("".join(lines))


def test_the_choices_of_a_flag_are_listed(app):
    _, _, _, lines = app("train", "--sampling", "even")
    assert "uniform" in lines[0]
    assert "balanced" in lines[0]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--preset", "tiny", "--epochs", "3"],
        ["--epochs", "3", "--preset", "tiny"],
        ["--preset=tiny", "--epochs=3"],
    ],
)
def test_a_preset_stands_anywhere_and_flags_change_it(app, arguments):
    _, config, _, _ = app("train", *arguments)
    assert config.data == PRESETS["tiny"].data
    assert config.optimization.epochs == 3


def test_another_preset_is_another_default(app):
    assert app("train", "--preset", "big")[1] == PRESETS["big"]
    assert app("train")[1] == Config()


@pytest.mark.parametrize(
    ("arguments", "run"),
    [
        ([], "runs/toy/small-photos"),
        (["--run", "mine"], "mine"),
        (["--run=mine"], "mine"),
    ],
)
def test_a_preset_tells_the_other_verbs_its_run(app, arguments, run):
    _, options, _, _ = app("evaluate", "--preset", "tiny", *arguments)
    assert options == verbs.Evaluate(run=pathlib.Path(run))


def test_pictures_are_named_without_a_flag(app):
    _, options, _, _ = app("predict", "a b.png", "c", "--run", "r")
    assert options.paths == (pathlib.Path("a b.png"), pathlib.Path("c"))


def test_a_switch_takes_no_value(app):
    assert app("train", "--overwrite")[1].run.overwrite
    assert not app("train")[1].run.overwrite


def test_flags_have_no_prefix_and_say_what_they_do(app, capsys):
    with pytest.raises(SystemExit) as left:
        app("train", "--help")
    assert left.value.code == 0
    text = capsys.readouterr().out
    words = text.replace("[", " ").replace("|", " ").split()
    listed = {word.rstrip(",") for word in words if word.startswith("--")}
    for flag in ("--batch-size", "--data", "--run", "--learning-rate", "--model"):
        assert flag in listed
    assert not [flag for flag in listed if "." in flag or flag.startswith("--no-")]
    assert "small or large." in text


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_without_a_verb_describes_the_app(app, flag):
    assert app(flag)[::2] == (0, "What it does.\n")


def test_the_strategy_is_made_before_the_verb_computes_anything(app, monkeypatch):
    asked = []
    monkeypatch.setattr(cli.strategy, "create", asked.append)
    app("train", "--strategy", "one_device")
    app("evaluate", "--run", "r")
    assert asked == ["one_device"]


def test_lines_are_printed_unwrapped(capsys):
    cli.say("x" * 500, "[not markup]")
    assert capsys.readouterr().out == "x" * 500 + "\n[not markup]\n"


@dataclasses.dataclass(frozen=True)
class Options:
    """Do one thing."""

    base_path: pathlib.Path
    """What to do it with."""
    debug: bool = False
    """Show tracebacks."""


def test_an_app_without_verbs_has_flags_with_underscores(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["apps/toy.py"])
    got = []
    arguments = ["--base_path", "a"]
    assert cli.main_without_verbs(got.append, Options, arguments=arguments) == 0
    assert got == [Options(pathlib.Path("a"))]
    with pytest.raises(SystemExit):
        cli.main_without_verbs(got.append, Options, arguments=["--help"])
    assert "--base_path" in capsys.readouterr().out


def test_an_app_without_verbs_fails_as_others_do(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["apps/toy.py"])

    def fail(options):
        raise errors.ModelFileError("no model", "export one")

    assert cli.main_without_verbs(fail, Options, arguments=["--base_path=a"]) == 4
    assert capsys.readouterr().err == "error: no model\nremedy: export one\n"
    assert (
        cli.main_without_verbs(fail, Options, arguments=["--base_path=a", "--debg"])
        == 2
    )
    remedy = capsys.readouterr().err.splitlines()[1]
    assert remedy == "remedy: did you mean --debug?"
    arguments = ["--base_path=a", "--debug"]
    assert cli.main_without_verbs(fail, Options, arguments=arguments) == 4
    assert "Traceback" in capsys.readouterr().err


def test_a_warning_is_one_line_that_names_no_code(capsys):
    def warn(flags):
        text = warnings.formatwarning("left out a.jpg", UserWarning, "code.py", 7)
        print(text, end="")

    before = warnings.formatwarning
    assert cli.main({warn: Config}, "", presets={}, task="t", arguments=["warn"]) == 0
    assert capsys.readouterr().out == "warning: left out a.jpg\n"
    assert warnings.formatwarning is before
