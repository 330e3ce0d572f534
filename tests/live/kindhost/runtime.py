"""The container runtime of the daemon: runc, or, on a machine without CAP_SYS_RESOURCE, runc behind a small script.

``docker run --privileged`` asks for every capability that the kernel knows, and runc fails on one that cannot be had.
The script strikes that one off what Docker asks for, in the container's configuration and in that of each exec.
"""

from __future__ import annotations

from pathlib import Path

NAME = "without-sys-resource"
SCRIPT = r"""#!/bin/sh
previous=
for argument in "$@"; do
    case $previous in
        --bundle|-b) file=$argument/config.json ;;
        --process|-p) file=$argument ;;
        *) file= ;;
    esac
    [ -n "$file" ] && [ -f "$file" ] && sed -i 's/,"CAP_SYS_RESOURCE"//g; s/"CAP_SYS_RESOURCE",//g' "$file"
    previous=$argument
done
exec runc "$@"
"""


def arguments(folder: Path) -> list[str]:
    """What makes dockerd use the script, which is written into the folder."""
    script = folder / "runc-without-sys-resource"
    script.write_text(SCRIPT)
    script.chmod(0o755)
    return [f"--add-runtime={NAME}={script}", f"--default-runtime={NAME}"]
