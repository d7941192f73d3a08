"""A client of MLflow for a database or a server; it sends nothing anywhere else."""

import logging
import os
import re
import unicodedata
from pathlib import Path
from typing import Any

from quickstudy.protocol.errors import MissingExtraError, UsageError
from quickstudy.protocol.printable import first_line
from quickstudy.storage.results_folder import check_results_folder

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # it is read when MLflow is imported
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
try:
    import alembic
    import sqlalchemy
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient
except ImportError as error:
    raise MissingExtraError(f"{error.name}, which MLflow needs here,", "mlflow") from error

_SQLITE = "sqlite:///"
_OTHERS = ("http://", "https://", "postgresql://", "mysql://")
_NEEDED = (alembic, sqlalchemy)
"""MLflow imports them late, and its own message would not say which extra has them."""

for _name in ("alembic", "mlflow"):
    logging.getLogger(_name).setLevel(logging.WARNING)  # they tell every table that they make


def open_client(address: str) -> Any:
    """A client of a database, which is made if it is not there, or of a server.

    Args:
      address: `sqlite:///PATH`, or that of a server or another database as MLflow takes it.
    Raises:
      UsageError: no such address, or MLflow cannot use what is there.
    """
    if address.startswith(_SQLITE):
        check_results_folder(sqlite_file(address).parent, flag="--address")
        if sqlite_file(address).is_dir():
            raise UsageError(f"{sqlite_file(address)} is a folder. Name a file, as in --address {_SQLITE}tracked/mlflow.db.")
        sqlite_file(address).parent.mkdir(parents=True, exist_ok=True)
    elif not address.startswith(_OTHERS):
        raise UsageError(
            f"MLflow needs an address that begins with {_SQLITE}, {', '.join(_OTHERS)}; came {address!r:.200}. "
            f"A file here is --address {_SQLITE}tracked/mlflow.db."
        )
    try:
        client = MlflowClient(tracking_uri=address, registry_uri=address)
        client.search_experiments(max_results=1)
    except Exception as error:  # of SQLAlchemy, of MLflow or of the network
        raise UsageError(f"MLflow cannot use {address!r:.200}: {first_line(error)}. Name another with --address.") from error
    return client


def sqlite_file(address: str) -> Path:
    """The file of an SQLite address."""
    return Path(address.removeprefix(_SQLITE).partition("?")[0])


def experiment_of(client: Any, name: str, address: str) -> str:
    """The number of an experiment; a new one keeps its files beside an SQLite database.

    Args:
      client: as of `open_client`.
      name: of the experiment.
      address: of the client.
    Raises:
      UsageError: it was deleted in MLflow.
    """
    found = client.get_experiment_by_name(name)
    if found is not None and found.lifecycle_stage != "active":
        raise UsageError(f"the experiment {name!r} was deleted in MLflow. Restore it there, or give another with --project.")
    if found is not None:
        return found.experiment_id
    place = None
    if address.startswith(_SQLITE):
        file = sqlite_file(address).absolute()
        place = (file.parent / f"{file.stem}-files").as_uri()
    return client.create_experiment(name, artifact_location=place)


def plain_name(name: str) -> str:
    """A name in the letters that MLflow takes for metrics; others become `_`, and RL² becomes RL2."""
    return re.sub(r"[^\w.\- :/]", "_", unicodedata.normalize("NFKC", name), flags=re.ASCII)


__all__ = ["MlflowException", "experiment_of", "open_client", "plain_name", "sqlite_file"]
