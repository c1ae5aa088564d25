"""Says on one page what a model is, what it takes and how good it is."""

from collections.abc import Mapping, Sequence

_SHOWN_CLASSES = 20


def text(name: str, *, config: Mapping, metrics: Mapping, labels: Sequence[str]) -> str:
    """Write a model card in Markdown.

    Args:
        name: of the model.
        config: the content of a run's `config.json`; its plain values are listed.
        metrics: of the run's test split; may be empty.
        labels: names of the classes.
    """
    more = "" if len(labels) <= _SHOWN_CLASSES else ", ..."
    names = ", ".join(labels[:_SHOWN_CLASSES]) + more
    lines = [f"# {name}", "", f"{len(labels)} classes: {names}", "", "## Trained with"]
    lines += ["", *_table(_flat(config)), "", "## Measured on the test split", ""]
    lines += _table(metrics) if metrics else ["Nothing: it was not evaluated."]
    lines += ["", "What the export itself was measured to be is in `parity.json`.", ""]
    return "\n".join(lines)


def _table(values: Mapping) -> list[str]:
    rows = [f"| {name} | {value} |" for name, value in values.items()]
    return ["| what | value |", "|---|---|", *rows]


def _flat(config: Mapping) -> dict:
    """Lift what is nested; lists are shown elsewhere."""
    flat = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            flat |= {f"{name}.{inner}": each for inner, each in _flat(value).items()}
        elif not isinstance(value, list):
            flat[name] = value
    return flat
