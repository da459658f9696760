"""What the source distribution and the wheel hold, against the files of the repository."""

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest
from packaging.version import Version

from tests.support import ROOT

CODE = ("benchmarks", "cli", "export", "model", "pipeline", "serving")
ABOVE = {"__init__.py", "__main__.py", "atomic.py", "sentences.py", "text_ops.py"}  # beside the links to those
REPOSITORY_ONLY = (".ci/", ".gitignore")
LEAST = "77"


def tracked() -> list[str]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode or not listed.stdout:
        pytest.skip("needs the git repository")
    return [name for name in listed.stdout.split("\0") if name and (ROOT / name).exists()]


def packaged(name: str) -> str:
    """Where a file of the repository stands in the source distribution."""
    return f"src/charflow/{name}" if name.split("/")[0] in CODE else name


def build(kind: str, source: Path, target: Path) -> Path:
    program = f"from setuptools import build_meta; print(build_meta.build_{kind}({str(target)!r}))"
    done = subprocess.run([sys.executable, "-c", program], cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return target / done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what git knows, links included."""
    if Version(importlib.metadata.version("setuptools")) < Version(LEAST):
        pytest.skip(f"needs setuptools {LEAST}: pip install 'charflow[test]'")
    copy = tmp_path_factory.mktemp("checkout")
    for name in tracked():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, copy / name, follow_symlinks=False)
    return copy


@pytest.fixture(scope="module")
def sdist(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution, unpacked."""
    archive = build("sdist", checkout, tmp_path_factory.mktemp("sdist"))
    with tarfile.open(archive) as tar:
        assert not [member.name for member in tar if not (member.isreg() or member.isdir())]  # no links
        tar.extractall(archive.parent, filter="data")
    return archive.parent / archive.name.removesuffix(".tar.gz")


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that is built from the source distribution, as installers do."""
    return build("wheel", sdist, tmp_path_factory.mktemp("wheel"))


def test_source_distribution_is_the_repository(sdist: Path) -> None:
    expected = {packaged(name) for name in tracked() if not name.startswith((*REPOSITORY_ONLY, "src/charflow/"))}
    expected |= {f"src/charflow/{name}" for name in ABOVE}
    found = {path.relative_to(sdist).as_posix() for path in sdist.rglob("*") if path.is_file()}
    made = {name for name in found if name in ("PKG-INFO", "setup.cfg") or ".egg-info/" in name}
    assert found - made == expected


def test_wheel_from_the_source_distribution_has_every_file_of_the_packages(wheel: Path) -> None:
    expected = {f"charflow/{name}" for name in tracked() if name.split("/")[0] in CODE}
    expected |= {f"charflow/{name}" for name in ABOVE}
    with zipfile.ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert found == expected


def test_wheel_from_the_repository_is_the_same(wheel: Path, checkout: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as ours, zipfile.ZipFile(build("wheel", checkout, tmp_path)) as other:
        assert {info.filename: info.CRC for info in ours.infolist() if "dist-info" not in info.filename} == {
            info.filename: info.CRC for info in other.infolist() if "dist-info" not in info.filename
        }


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with the wheel, and with the packages of this one but for charflow itself."""
    folder = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    purelib = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    place = subprocess.run(purelib, capture_output=True, text=True, check=True).stdout.strip()
    # The .pth of an editable install is not read there: what a .pth names is put on the path, no more.
    Path(place, "beside.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-index", "--no-deps"]
    subprocess.run([*pip, str(wheel)], check=True)
    return python


def elsewhere(*command: str | Path, folder: Path) -> subprocess.CompletedProcess:
    """Runs a command in a folder outside the checkout, which nothing in its environment leads back to."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_wheel_is_installed_and_every_module_of_it_is_imported(installed: Path, wheel: Path, tmp_path: Path) -> None:
    (place,) = installed.parents[1].glob("lib/*/site-packages/charflow")
    modules = sorted(
        path.relative_to(place.parent).with_suffix("").as_posix().removesuffix("/__init__").replace("/", ".")
        for path in place.rglob("*.py")
        if path.name != "__main__.py"  # it runs the command
    )
    program = (
        "import importlib, sys\n"
        "loaded = [importlib.import_module(name) for name in sys.argv[2:]]\n"
        "import charflow\n"
        "print(charflow.__version__)\n"
        "print({module.__file__.startswith(sys.argv[1]) for module in loaded})"
    )
    done = elsewhere(installed, "-I", "-c", program, place, *modules, folder=tmp_path)
    assert done.stdout.splitlines() == [wheel.name.split("-")[1], "{True}"], done.stderr
    assert len(modules) > 200


def test_demo_of_the_wheel_goes_the_whole_way_in_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    program = (
        "import importlib\n"
        "from charflow.cli import main\n"
        "demo = importlib.import_module('charflow.cli.commands.demo')\n"
        "train = demo.train\n"
        "def train_little(data, *, time_limit, **options):\n"
        "    train(data, **options, steps=3, units=8, window_length=20)\n"
        "demo.train = train_little\n"
        "main(['demo', '--seconds', '7'])"
    )
    done = elsewhere(installed, "-c", program, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "demo"
    assert {child.name for child in folder.iterdir()} == {"chat.csv", "users.png", "run", "model"}
    assert (folder / "run" / "curves.png").exists()
    assert (folder / "model" / "1" / "saved_model.pb").exists()
    commands = [line.removeprefix("$ ") for line in done.stdout.splitlines() if line.startswith("$ charflow")]
    assert [command.split()[1] for command in commands] == ["explore", "train", "export", "serve"]
    assert commands[1] == "charflow train demo/chat.csv --user mira --out demo/run --time-limit 7"
    after_export = done.stdout.partition("a fresh process")[2]
    assert [f"--- temperature {t} ---\noh my dears, " in after_export for t in (0.2, 0.5, 1.0, 1.2)] == [True] * 4
    by_grpc, by_rest = (done.stdout.partition(f"{door}, seed 7\n")[2].splitlines()[0] for door in ("gRPC", "REST"))
    assert by_grpc.startswith("oh my dears, ")
    assert by_grpc == by_rest


def test_readme_on_a_package_index_has_no_link_that_leads_nowhere(sdist: Path) -> None:
    page = (sdist / "PKG-INFO").read_text(encoding="utf-8")
    assert "Description-Content-Type: text/markdown" in page
    assert "docs/serving.md how to serve it" in re.sub(r"\s+", " ", page)
    assert not re.findall(r"\]\((?!https?:)[^)]*\)", page)


def test_readme_and_docs_link_to_files_that_are_there() -> None:
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("deploy/**/*.md")]:
        for link in re.findall(r"\]\((?!https?:)([\w./-]+)(?:#[\w-]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / link).exists(), f"{page}: {link}"
