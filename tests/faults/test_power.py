"""
A power cut: bytes that were not synced are lost.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.programs import Program, file_system, in_order, mounted


@pytest.mark.promise("power", naive="fails")
def test_a_synced_flush_writes_then_syncs_the_file_and_its_folders_and_then_returns(
    program: Program, home: Path, tmp_path: Path, figure: Callable[[str], None]
) -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    trace = tmp_path / "trace"
    script = """
rec = rollout.Recorder()
rec.user_message("before")
rec.flush()
rec.user_message("synced")
rec.flush(fsync=True)
os.write(1, b"acknowledged")
rec.close()
print(rec.path)
"""
    command = ["strace", "-f", "-y", "-s", "4096", "-e", "trace=write,writev,fsync", "-o", str(trace), *program.command]

    subprocess.run([*command, program.source(script)], check=True, timeout=60, cwd=Path.cwd(), capture_output=True)

    (path,) = home.glob("sessions/*/*/*/rollout-*.jsonl")
    # Up to the one in which the home was made.
    places = [path, *path.parents[:6]]
    told = trace.read_text()
    written = told.rindex('synced\\"')
    synced = [re.compile(rf"fsync\(\d+<{re.escape(str(place))}>\) += 0").search(told, written) for place in places]
    moments = [found.start() for found in synced if found]
    assert len(moments) == len(places)
    assert written < moments[0] < min(moments[1:]) <= max(moments) < told.index('"acknowledged"')
    figure(f"strace sees write, fsync of the file, fsync of {len(places) - 1} folders, return, in this order")


@pytest.mark.promise("power", naive="fails")
@pytest.mark.parametrize("cuts", [8, pytest.param(20, marks=pytest.mark.slow)])
def test_synced_lines_survive_the_loss_of_all_unsynced_writes(
    program: Program, tmp_path: Path, cuts: int, figure: Callable[[str], None]
) -> None:
    disk, kept = tmp_path / "disk", tmp_path / "kept"
    image = file_system(tmp_path / "image")
    script = """
rec = rollout.Recorder(home=sys.argv[1])
for n in range(50):
    rec.record(message(f"synced {n}"))
rec.flush(fsync=True)
for n in range(50):
    rec.record(message(f"flushed {n}"))
rec.flush()
print("acknowledged", flush=True)
input()
"""
    synced = flushed = 0
    for cut in range(cuts):
        with mounted(disk, "-o", "loop", str(image)), program.start(script, disk / "home") as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "acknowledged\n"
            # What the device has now; what waits in the page cache of the file system goes with the power.
            shutil.copyfile(image, tmp_path / "image after the cut")
            child.kill()
        with mounted(kept, "-o", "loop", str(tmp_path / "image after the cut")):
            paths = sorted(kept.glob("home/sessions/*/*/*/rollout-*.jsonl"))
            found = in_order(paths[-1]) if len(paths) == cut + 1 else []
            synced += sum(text.startswith("synced") for text in found)
            flushed += sum(text.startswith("flushed") for text in found)

    figure(
        f"{cuts} cuts of the power: {cuts * 50 - synced} of {cuts * 50} lines lost that were synced, "
        f"{cuts * 50 - flushed} of {cuts * 50} that were only flushed"
    )
    assert synced == cuts * 50
    # Else this would prove nothing.
    assert flushed < cuts * 50
