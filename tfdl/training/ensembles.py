"""Makes a run of the trained models that an ensemble averages.

Such a run's config.json is that of the first member, and lists all of them, each with
its own settings; their weights are copied into `members/`. The ensemble stays what it
was measured to be when a member is trained anew or removed.
"""

import contextlib
import os
import pathlib
import shutil
from collections.abc import Iterator, Sequence

from tfdl import errors
from tfdl.training import best, flags, run_folder

_FOLDER = "members"
_SUFFIX = ".weights.h5"


def gather(folder: pathlib.Path, paths: Sequence[pathlib.Path]) -> None:
    """Make `folder` the run of an ensemble, unless it is that already.

    Args:
        folder: of the ensemble.
        paths: what to average: folders of runs, for their best weights; `.weights.h5`
            files that lie in a run's folder or one below; folders of such files, as
            the `snapshots` of a run, in the order of their numbers. There may be none,
            and nothing happens; one alone becomes a run of its own.

    Raises:
        UsageError: one is of other classes or pictures than the first, or of other
            data or splits of them, or `folder` holds something else.
        ModelFileError: a member is missing or damaged.
    """
    if not paths:
        return
    found = [member for path in paths for member in _found(path)]
    _refuse_unlike(found)
    if (folder / "config.json").exists():
        _refuse_other(folder, found)
        return
    _write(folder, found)


def listed(folder: pathlib.Path) -> list[tuple[dict, pathlib.Path]]:
    """List the models of a run: one, or an ensemble's.

    Args:
        folder: of the run.

    Returns:
        Pairs of (settings, as config.json holds them, file of the weights).

    Raises:
        ModelFileError: there is no run.
    """
    config = run_folder.read_config(folder)
    if _FOLDER not in config:
        return [(config, folder / best.FILE_NAME)]
    configs = [member["config"] for member in config[_FOLDER]]
    return [
        (config, folder / _FOLDER / _file_name(number))
        for number, config in enumerate(configs, 1)
    ]


def _found(path: pathlib.Path) -> Iterator[dict]:
    """Find the weights that a path names, and the settings of each."""
    if not path.exists():
        raise errors.ModelFileError(
            f"--members {path} does not exist",
            f"name a run, its snapshots, or a {_SUFFIX} file in one",
        )
    if (path / "config.json").exists():
        yield _member(path / best.FILE_NAME, path)
        return
    files = [path] if path.is_file() else _files(path)
    if not files:
        raise errors.ModelFileError(
            f"--members {path} is no run and holds no {_SUFFIX} file",
            "name a run, or its snapshots",
        )
    for file in files:
        near = [each for each in file.resolve().parents[:2] if _is_run(each)]
        if not near:
            raise errors.ModelFileError(
                f"--members {file} is in no run: there is no config.json beside it or "
                "a folder above",
                "name a file in the folder of the run that wrote it",
            )
        yield _member(file, near[0])


def _files(folder: pathlib.Path) -> list[pathlib.Path]:
    """List the weights in a folder, 99 before 100, without what a kill left behind."""
    files = [file for file in folder.glob(f"*{_SUFFIX}") if file.name[0] != "."]
    return sorted(files, key=lambda file: (len(file.name), file.name))


def _is_run(folder: pathlib.Path) -> bool:
    return (folder / "config.json").exists()


def _member(weights: pathlib.Path, run: pathlib.Path) -> dict:
    config = run_folder.read_config(run)
    if _FOLDER in config:
        raise errors.UsageError(
            f"--members {weights.parent} is an ensemble itself", "name its members"
        )
    sha256 = best.verified(weights)
    return {"weights": str(weights), "sha256": sha256, "config": config}


def _refuse_unlike(found: Sequence[dict]) -> None:
    """Refuse members that do not see the same pictures or name the same classes.

    Also where the splits differ: what tests the first would have trained the other.
    """
    first = found[0]
    for other in found[1:]:
        for name in flags.SHARED_BY_MEMBERS:
            ours, theirs = (_setting(each["config"], name) for each in (first, other))
            if ours != theirs:
                raise errors.UsageError(
                    f"--members {other['weights']} has {name} {theirs}, but "
                    f"{first['weights']} has {ours}",
                    f"name models of the same {name}",
                )


def _setting(config: dict, name: str):
    """Return a setting at any depth; an earlier run may not name one of the data."""
    found = [
        value
        for place, value in run_folder.flat(config).items()
        if place.rpartition(".")[2] == name
    ]
    return found[0] if found else getattr(flags.Data, name, None)


def _refuse_other(folder: pathlib.Path, found: Sequence[dict]) -> None:
    """Refuse a folder that is another run already."""
    members = run_folder.read_config(folder).get(_FOLDER, [])
    if [each["sha256"] for each in members] != [each["sha256"] for each in found]:
        what = "another ensemble" if members else "a run that was trained"
        raise errors.UsageError(
            f"--run {folder} is {what}, and --members would change what it is",
            "name a new folder as --run: it becomes the ensemble's",
        )


def _write(folder: pathlib.Path, found: Sequence[dict]) -> None:
    """Copy the weights and list them; the folder appears whole, by a rename."""
    unfinished = folder.with_name(f".tmp-{folder.name}-{os.getpid()}")
    try:
        (unfinished / _FOLDER).mkdir(parents=True)
        for number, member in enumerate(found, 1):
            copy = unfinished / _FOLDER / _file_name(number)
            shutil.copyfile(member["weights"], copy)
            best.write_digest(copy, member["sha256"])
        config = found[0]["config"] | {"num_members": len(found), _FOLDER: found}
        run_folder.write_json(unfinished / "config.json", config)
        with contextlib.suppress(FileNotFoundError):
            folder.rmdir()  # an empty one may be there
        os.rename(unfinished, folder)
    except OSError as error:
        raise errors.UsageError(
            f"--run {folder} cannot be made the ensemble's ({error.strerror})",
            "name a new folder as --run",
        ) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _file_name(number: int) -> str:
    return f"{number:02d}{_SUFFIX}"
