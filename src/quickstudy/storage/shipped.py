"""Bundles that an installed package brings along. In a clone they are those of the folder `bundles`."""

from pathlib import Path

_PACKAGED = Path(__file__).parent / "shipped_bundles"
_CLONE = Path(__file__).parents[3]


def shipped_bundle(name: str) -> Path | None:
    """The folder of a shipped bundle; None where this installation has none of that name.

    Args:
      name: of the bundle, as `bundles` has it.
    """
    for folder in (_PACKAGED / name, _CLONE / "bundles" / name):
        if (folder / "bundle.json").is_file():
            return folder
    return None
