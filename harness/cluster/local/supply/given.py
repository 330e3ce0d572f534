"""The values of ``--load-image``: an archive, NAME=ARCHIVE, or the reference of an image to bring."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.cluster.local.supply.archives import ArchivedImage, open_archive
from harness.cluster.local.supply.references import whole_reference
from harness.cluster.local.supply.store import check_names
from harness.common.errors import InputError, Problem
from harness.common.image_values import is_archive


@dataclass(frozen=True, slots=True)
class Given:
    """One value: an archive, whose only image gets ``name`` if that is set; or without an archive a reference."""

    archive: Path | None
    name: str = ""


@dataclass(frozen=True, slots=True)
class GivenImage:
    """An image in a given archive. ``name`` renames the archive's only image; it is empty otherwise."""

    archive: Path
    image: ArchivedImage
    name: str


def parse_given(text: str, folder: Path) -> Given:
    """Read one value; a relative path is relative to ``folder``. A path is what exists, or looks like an archive."""
    name, equals, path = text.partition("=")
    if equals:
        return Given(folder / Path(path).expanduser(), whole_reference(name))
    if is_archive(text, folder):
        return Given(folder / Path(text).expanduser())
    return Given(None, whole_reference(text))


class GivenImages:
    """The images in all given archives, read once."""

    def __init__(self, values: Iterable[str], folder: Path | None = None) -> None:
        self._values = tuple(values)
        self._folder = folder or Path.cwd()
        self._images: dict[str, GivenImage] | None = None

    @property
    def references(self) -> tuple[str, ...]:
        """The whole references that were given without an archive."""
        given = (parse_given(text, self._folder) for text in self._values)
        return tuple(each.name for each in given if each.archive is None)

    def images(self) -> dict[str, GivenImage]:
        """Return the images of all archives by their whole references. Raises InputError with all problems."""
        if self._images is None:
            found: dict[str, GivenImage] = {}
            problems: list[Problem] = []
            for text in self._values:
                given = parse_given(text, self._folder)
                if given.archive is None:
                    continue
                try:
                    found |= _images_of(given.archive, given.name)
                except InputError as error:
                    problems += [Problem(each.message, each.file, field="--load-image") for each in error.problems]
            if problems:
                raise InputError(problems)
            self._images = found
        return self._images

    def find(self, reference: str) -> GivenImage | None:
        """Return the archived image that a reference names, or None. Raises InputError if an archive is wrong."""
        name, _, digest = whole_reference(reference).partition("@")
        found = self.images()
        if not digest:
            return found.get(name)
        # Only an OCI layout has the digest that a registry shows for the image.
        return next((each for each in found.values() if each.image.digest == digest), None)


def _images_of(archive: Path, name: str) -> dict[str, GivenImage]:
    with open_archive(archive) as opened:
        images = opened.images()
    check_names(archive, images, name)
    return {each: GivenImage(archive, image, name) for image in images for each in ((name,) if name else image.names)}
