"""Builds the real servers once, from pinned Go modules, into a cache: `make testbed`."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
CACHE = Path("~/.cache/rollout/testbed").expanduser()

JOBS_MAX = 2
"""The linker takes over 1 GB; more at once does not fit a small machine."""

BUILD_SECONDS_MAX = 3600.0
"""A cold build takes 5 to 7 minutes on two free cores; a busy machine takes many times that."""

NICENESS = 19
"""Nobody waits for this."""

VERSION = "k8s.io/component-base/version"


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """A Go module of ours that makes one program.

    Attributes:
        name: its folder, and the name of what is built when it goes by several names.
        package: what to build: a path inside the module, or a tool that it pins.
        programs: the names that the program is called by.
        stamps: whether the program tells the Kubernetes release only if the linker is told it.
    """

    name: str
    package: str
    programs: tuple[str, ...]
    stamps: bool = False


MODULES = (
    Module(
        name="controlplane",
        package=".",
        programs=("etcd", "kube-apiserver", "kube-controller-manager"),
        stamps=True,
    ),
    Module(
        name="istiod",
        package="istio.io/istio/pilot/cmd/pilot-discovery",
        programs=("pilot-discovery",),
    ),
    Module(name="helm", package="helm.sh/helm/v3/cmd/helm", programs=("helm",)),
)


def find(program: str) -> Path | None:
    """The program from `KUBEBUILDER_ASSETS`, else from PATH, else as built here; None: none."""
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    for found in (shutil.which(program, path=assets) if assets else None, shutil.which(program)):
        if found is not None:
            return Path(found)
    built = [folder_of(module) / program for module in MODULES if program in module.programs]
    return next((path for path in built if path.exists()), None)


def why_not(*programs: str) -> str:
    """Why tests with these programs cannot run, in one line; empty when they can, or must."""
    if os.environ.get("CI") == "true":
        return ""  # their absence is a failure there
    missing = [program for program in programs if find(program) is None]
    return f"no {', '.join(missing)} here; `make testbed` builds what is missing" * bool(missing)


def folder_of(module: Module) -> Path:
    """Where what is built from the module as it stands now is kept."""
    digest = hashlib.sha256()
    for file in sorted((HERE / module.name).iterdir()):
        if file.suffix in {".go", ".mod", ".sum"}:
            digest.update(f"{file.name}\0".encode() + file.read_bytes())
    return CACHE / f"{module.name}-{digest.hexdigest()[:16]}"


def build(module: Module) -> Path:
    """Build the module unless it is built; the folder with its programs.

    Raises:
        subprocess.SubprocessError: Go refused, or took too long.
    """
    target = folder_of(module)
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{module.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two builds at once would only take twice as long
        if not target.exists():
            _compile(module, target)
    return target


def _compile(module: Module, target: Path) -> None:
    with tempfile.TemporaryDirectory(dir=CACHE) as text:
        folder = Path(text) / "programs"
        folder.mkdir()
        program = folder / (module.name if len(module.programs) > 1 else module.programs[0])
        subprocess.run(
            _argv(module, program),
            cwd=HERE / module.name,
            env={**os.environ, "CGO_ENABLED": "0"},
            check=True,
            timeout=BUILD_SECONDS_MAX,
        )
        for name in module.programs:
            if name != program.name:
                (folder / name).symlink_to(program.name)
        # A rename, so that a test that looks meanwhile sees all of it or nothing.
        folder.rename(target)


def _argv(module: Module, program: Path) -> Sequence[str]:
    flags = "-s -w"
    if module.stamps:
        text = (HERE / module.name / "go.mod").read_text(encoding="utf-8")
        release = re.search(r"k8s\.io/kubernetes (v(\d+)\.(\d+)\.\d+)", text)
        assert release is not None, "the module pins a release of Kubernetes"
        whole, major, minor = release.groups()
        flags += f" -X {VERSION}.gitVersion={whole}"
        flags += f" -X {VERSION}.gitMajor={major} -X {VERSION}.gitMinor={minor}"
    nice = ["nice", "-n", str(NICENESS)] if shutil.which("nice") else []
    go = ["go", "build", "-p", str(JOBS_MAX), "-mod=readonly", "-buildvcs=false", "-trimpath"]
    return [*nice, *go, "-ldflags", flags, "-o", str(program), module.package]


def tell(line: str) -> None:
    """Print a line at once: the next one may take minutes."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(names: Sequence[str]) -> int:
    """Build the named modules, or all, telling how it goes; the exit code.

    With ``--if-possible`` the lack of Go is no error, except under CI.
    """
    wants_it = "--if-possible" not in names or os.environ.get("CI") == "true"
    names = [name for name in names if name != "--if-possible"]
    known = {module.name: module for module in MODULES}
    if unknown := set(names) - known.keys():
        tell(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
        return 2
    for module in (known[name] for name in names or known):
        if all(find(program) for program in module.programs):
            tell(f"{module.name}: there already")
            continue
        if shutil.which("go") is None:
            tell(f"{module.name}: needs Go 1.26 or newer on PATH, or the programs themselves")
            if wants_it:
                return 1
            continue
        tell(f"{module.name}: building; the first time takes several minutes")
        start = time.monotonic()
        try:
            folder = build(module)
        except subprocess.SubprocessError as error:
            tell(f"{module.name}: not built: {error}")
            return 1
        size_mb = (folder / module.programs[0]).stat().st_size / 1e6
        tell(f"{module.name}: {size_mb:.0f} MB in {time.monotonic() - start:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
