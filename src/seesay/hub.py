"""Checkpoints from the Hugging Face hub, kept in the hub's own cache: transformers finds ours there, and we its.

Fetching is our own because `huggingface_hub` from 2 on neither resumes after the process died (it downloads to a
file named at random and deletes it) nor compares hashes outside Xet: here a download goes on from the bytes on disk,
and nothing takes its place in the cache before its hash agrees with the hub's.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from seesay.errors import DownloadError, ModelNotFound

if TYPE_CHECKING:
    from huggingface_hub.hf_api import ModelInfo

log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]
"""Called with the bytes that are here and the bytes in all."""

COMPANIONS = (
    *("config.json", "preprocessor_config.json", "generation_config.json"),
    *("vocab.txt", "tokenizer.json", "tokenizer_config.json"),
)
SAFE, PICKLED = "model.safetensors", "pytorch_model.bin"
INDEX = "model.safetensors.index.json"
WHOLE = (".json", ".txt", ".model", ".jinja", ".safetensors")
"""Endings of what a checkpoint that is no BLIP may need."""
RETRIES = 5
"""Broken connections in a row, without a byte gained, before we give up."""
PAUSE = 1.0
"""Seconds before the first retry; doubled at each."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file of a repository, with what the hub says it must be."""

    path: str
    size: int
    sha256: str | None
    """Of the contents, where the file is large (LFS)."""
    blob_id: str
    """Git's name of the contents: SHA-1 over "blob SIZE\\0" and the bytes."""

    @property
    def etag(self) -> str:
        """Its name among the cache's blobs."""
        return self.sha256 or self.blob_id

    def matches(self, path: Path) -> bool:
        """Whether the bytes at `path` are the ones the hub promised."""
        digest = hashlib.sha256() if self.sha256 else hashlib.sha1(b"blob %d\0" % self.size, usedforsecurity=False)
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
        return digest.hexdigest() == self.etag


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The files of a checkpoint at one commit."""

    repository: str
    revision: str
    """The branch, pull request or commit that was asked for."""
    commit: str
    files: tuple[RemoteFile, ...]

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(file.size for file in self.files)


def cached(repository: str, revision: str | None = None) -> Path | None:
    """The folder of a checkpoint that is complete in the hub's cache, or None. Touches no network.

    Without a revision, what `main` was at the last download comes first, and safetensors before pickled weights.
    """
    home = _storage(repository)
    if not (home / "snapshots").is_dir():
        return None
    main = _read(home / "refs" / (revision or "main"))
    commits = [main or revision] if revision else [main, *sorted(os.listdir(home / "snapshots"))]
    folders = [home / "snapshots" / commit for commit in commits if commit]
    for weights in (SAFE, INDEX, PICKLED):
        for folder in folders:
            if (folder / "config.json").exists() and _is_whole(folder, weights):
                return folder
    return None


def _is_whole(folder: Path, weights: str) -> bool:
    """Whether all the weights are there, those included that a file of weights names."""
    file = folder / weights
    if weights != INDEX or not file.exists():
        return file.exists()
    parts = set(json.loads(file.read_text(encoding="utf-8"))["weight_map"].values())
    return all((folder / part).exists() for part in parts)


def look_up(repository: str, revision: str | None = None) -> Snapshot:
    """What the hub has to offer: safetensors where there are any, pickled weights only where there are not.

    Several public BLIP repositories, Salesforce's base captioner among them, hold no safetensors on `main`; the hub's
    own converter keeps them in an open pull request, which is used then (as transformers does). Of other models it is
    every file that transformers may read, weights in several parts included.
    Raises ModelNotFound where there is no such repository or no checkpoint in it, DownloadError without a connection.
    """
    from huggingface_hub import HfApi

    api = HfApi(library_name="seesay")
    with _translated(repository):
        info = api.model_info(repository, revision=revision, files_metadata=True)
        snapshot = _snapshot(repository, revision or "main", info)
        if not any(file.path.endswith(".safetensors") for file in snapshot.files) and revision is None:
            converted = _conversion(repository)
            if converted is not None:
                log.info("%s: main has no safetensors, using the hub's conversion %s", repository, converted)
                info = api.model_info(repository, revision=converted, files_metadata=True)
                snapshot = _snapshot(repository, converted, info)
    if not any(file.path in (SAFE, PICKLED, INDEX) for file in snapshot.files):
        raise ModelNotFound(f"{repository} holds no {SAFE}", "Name a repository with weights in that format.")
    return snapshot


def download(snapshot: Snapshot, progress: Progress | None = None) -> Path:
    """Fetch what is missing of a snapshot and return its folder in the hub's cache.

    Goes on from partial files that an earlier process left behind; safe with two processes at once. Each file is
    checked against the hub's hash before it can be used.
    Raises DownloadError for a lost connection, contents that are not what the hub promised, or a full disk.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.utils import WeakFileLock  # type: ignore[attr-defined]  # its __all__ lacks it

    home = _storage(snapshot.repository)
    blobs, locks = home / "blobs", home.parent / ".locks" / home.name
    with _translated(snapshot.repository):
        blobs.mkdir(parents=True, exist_ok=True)
        locks.mkdir(parents=True, exist_ok=True)
        _check_space(snapshot, blobs)
        before = 0
        for file in snapshot.files:
            with WeakFileLock(locks / f"{file.etag}.lock"):
                if not (blobs / file.etag).exists():
                    _fetch(snapshot, file, blobs / file.etag, _shifted(progress, before, snapshot.size))
            before += file.size
            # The blob is there, so this only links it into the snapshot and notes the commit of the revision.
            linked = Path(hf_hub_download(snapshot.repository, file.path, revision=snapshot.revision))
            folder = linked.parents[file.path.count("/")]
            if folder.name != snapshot.commit:
                raise DownloadError(f"{snapshot.repository} changed while it was being fetched", "Try once more.")
    if progress:
        progress(snapshot.size, snapshot.size)
    return folder


def _fetch(snapshot: Snapshot, file: RemoteFile, target: Path, progress: Progress | None) -> None:
    """Fetch one file to `target` through `target`.incomplete, which survives this process and is gone on with."""
    partial = target.with_name(target.name + ".incomplete")
    failures = 0
    while (here := partial.stat().st_size if partial.exists() else 0) < file.size:
        try:
            _append(snapshot, file, partial, here, progress)
        except _connection_errors() as error:
            gained = partial.exists() and partial.stat().st_size > here
            failures = 0 if gained else failures + 1
            if failures == RETRIES:
                raise
            log.info("%s: %s; going on", file.path, error)
            if failures:
                time.sleep(PAUSE * 2 ** (failures - 1))
    if here > file.size or not file.matches(partial):
        partial.unlink()
        raise DownloadError(
            f"{snapshot.repository}/{file.path} arrived damaged: its hash is not the one the hub gives",
            "Try once more. If it happens again, something between you and the hub alters downloads.",
        )
    os.replace(partial, target)


def _append(snapshot: Snapshot, file: RemoteFile, partial: Path, here: int, progress: Progress | None) -> None:
    """Ask for the bytes from `here` on and append them as they come."""
    from huggingface_hub import constants, get_session, hf_hub_url
    from huggingface_hub.utils import build_hf_headers, hf_raise_for_status  # type: ignore[attr-defined]

    headers = {**build_hf_headers(library_name="seesay"), "Accept-Encoding": "identity", "Range": f"bytes={here}-"}
    url = hf_hub_url(snapshot.repository, file.path, revision=snapshot.commit)
    # The session drops the token when a redirect leads to another host.
    with get_session().stream("GET", url, headers=headers, timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT) as response:
        hf_raise_for_status(response)
        if response.status_code != 206:  # the server sends all of it
            here = 0
        with partial.open("r+b" if here else "wb") as out:
            out.seek(here)
            for chunk in response.iter_raw():  # as they come: a cut then costs no buffered bytes
                out.write(chunk)
                here += len(chunk)
                if progress:
                    progress(here, file.size)


def _snapshot(repository: str, revision: str, info: ModelInfo) -> Snapshot:
    files = {
        sibling.rfilename: RemoteFile(
            sibling.rfilename, sibling.size or 0, sibling.lfs.sha256 if sibling.lfs else None, sibling.blob_id or ""
        )
        for sibling in info.siblings or ()
    }
    weights = SAFE if SAFE in files else PICKLED
    wanted = [files[name] for name in (*COMPANIONS, weights) if name in files]
    if (info.config or {}).get("model_type", "blip") != "blip":
        wanted = [file for name, file in sorted(files.items()) if name.endswith(WHOLE) or name == weights]
    return Snapshot(repository, revision, info.sha or "", tuple(wanted))


def _conversion(repository: str) -> str | None:
    """Reference of the newest open pull request of the hub's own converter bot, or None.

    Only the bot and the repository's owner can push there; safetensors hold no code.
    """
    from huggingface_hub import HfApi

    requests = HfApi(library_name="seesay").get_repo_discussions(
        repository, author="SFconvertbot", discussion_type="pull_request", discussion_status="open"
    )
    numbers = [request.num for request in requests if request.author == "SFconvertbot" and request.is_pull_request]
    return f"refs/pr/{max(numbers)}" if numbers else None


def cache_folder() -> Path:
    """The hub's cache on this machine (HF_HUB_CACHE, HF_HOME)."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE).expanduser()


def _storage(repository: str) -> Path:
    return cache_folder() / f"models--{repository.replace('/', '--')}"


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8").strip() if path.is_file() else None


def _shifted(progress: Progress | None, before: int, total: int) -> Progress | None:
    return (lambda here, _: progress(before + here, total)) if progress else None


def _check_space(snapshot: Snapshot, blobs: Path) -> None:
    missing = sum(file.size for file in snapshot.files if not (blobs / file.etag).exists())
    free = shutil.disk_usage(blobs).free
    if missing > free:
        raise DownloadError(
            f"{snapshot.repository} needs {missing / 1e6:.0f} MB, the disk of {blobs} has {free / 1e6:.0f} MB left",
            "Free some space, or set HF_HOME to a folder on another disk.",
        )


def _connection_errors() -> tuple[type[Exception], ...]:
    import httpx2

    return (httpx2.TransportError,)


@contextmanager
def _translated(repository: str) -> Iterator[None]:
    """The hub library's exceptions as ours, the most telling first."""
    import httpx2
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        yield
    except HFValidationError as error:
        raise ModelNotFound(f"{repository!r} is no name that the hub knows", "Write it as OWNER/NAME.") from error
    except GatedRepoError as error:
        raise ModelNotFound(
            f"{repository} wants its terms accepted first",
            f"Accept them at https://huggingface.co/{repository}, then `hf auth login`.",
        ) from error
    except RepositoryNotFoundError as error:
        raise ModelNotFound(
            f"the hub has no model {repository} (or it is private)",
            "Check the spelling; for a private model, run `hf auth login` or set HF_TOKEN.",
        ) from error
    except RevisionNotFoundError as error:
        raise ModelNotFound(f"{repository} has no such revision", "Name a branch, a tag or a commit.") from error
    except OfflineModeIsEnabled as error:
        raise DownloadError("HF_HUB_OFFLINE is set, so nothing can be fetched", "Unset HF_HUB_OFFLINE.") from error
    except (httpx2.HTTPError, HfHubHTTPError) as error:
        raise DownloadError(
            f"fetching {repository} failed: {error}",
            "Check the network (HTTPS_PROXY, HF_ENDPOINT), then run it again: it goes on where it stopped.",
        ) from error
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
            raise
        raise DownloadError(
            f"the model cannot be written: {error}", "Free some space, or set HF_HOME to another folder."
        ) from error
