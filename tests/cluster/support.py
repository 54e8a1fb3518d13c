"""What the tests of shards share: pictures, folders as bytes, processes of ours."""

import os
import pathlib
import random
import struct
import subprocess
import sys
import tempfile
import zlib

SOURCE = pathlib.Path(sys.argv[1]).resolve()
BUILD = pathlib.Path(sys.argv[2]).resolve()
BECKON = str(BUILD / "beckon")
# A model of random weights, of the official layout: a picture takes it milliseconds.
MODEL = str(SOURCE / "tests/goldens/sam/odd_75x113/weights.safetensors")
PROMPTS = '{"beckon": 1, "prompts": [{"type": "point", "at": [20, 15]}]}'


def check(condition, message):
    if not condition:
        sys.exit(f"FAILED: {message}")


def png(width, height, pixels):
    """An RGB picture as a PNG file."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = b"".join(b"\0" + pixels[3 * width * y : 3 * width * (y + 1)] for y in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b"")
    )


def make_pictures(folder, count, width=64, height=48):
    """Pictures of noise, in three sub-folders, some with names that are not plain."""
    dice = random.Random(17)
    for i in range(count):
        place = folder / ["", "sub", "sub/ü x"][i % 3]
        place.mkdir(parents=True, exist_ok=True)
        name = f"{i:04}.png" if i % 50 else f"new\nline {i}.png"
        (place / name).write_bytes(png(width, height, dice.randbytes(3 * width * height)))


def contents(folder):
    """Every file below the folder, by its name."""
    return {
        str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def expect_same(actual, expected):
    missing = sorted(set(expected) - set(actual))
    extra = sorted(set(actual) - set(expected))
    check(not missing and not extra, f"files differ: missing {missing[:5]}, more {extra[:5]}")
    other = [name for name in expected if actual[name] != expected[name]]
    check(not other, f"{len(other)} files have other bytes: {other[:5]}")


def environment(**more):
    """Ours on the PATH, and no scheduler's variables but those given."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("SLURM_", "PMI_", "OMPI_", "JOB_", "BECKON_"))
    }
    kept["PATH"] = f"{BUILD}:{kept['PATH']}"
    return {**kept, **more}


def annotate_once(photos, out, prompts):
    """The undisturbed run that others are compared with."""
    subprocess.run(
        [BECKON, "annotate", photos, "-o", out, "--model", MODEL, "--prompts", prompts],
        check=True,
        stdout=subprocess.DEVNULL,
        env=environment(),
    )
    return contents(out)


def workers_on(out):
    """Process ids of the beckon programs that work on this folder, zombies left out."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            command = (entry / "cmdline").read_bytes().split(b"\0")
            state = (entry / "stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:  # it ended meanwhile
            continue
        program = os.path.basename(command[0])
        if program == b"beckon" and os.fsencode(out) in command and state not in "ZX":
            found.append(int(entry.name))
    return found


def temporary_folder():
    return tempfile.TemporaryDirectory(prefix="beckon cluster ")
