"""kind on a machine that has no Docker daemon and reaches no image registry: a recipe for tests.

A Docker daemon of its own (in namespaces, control groups and a folder that carry one name and go with it) runs the
unmodified kind on a node image made here: kind's own base files as its Go module carries them, a Debian root, and the
components that the local cluster is built from. Users need none of this: with Docker, kind pulls its own image.

What it works around belongs to the machine that it runs on and turns itself off elsewhere:

- without CAP_SYS_RESOURCE: a runtime that drops it from what Docker asks for (``runtime.py``), and containerd in the
  nodes does not lower anyone's OOM score;
- on control groups of version 1: kubelet is told not to refuse them, and to make groups itself (``node_files.py``).
"""
