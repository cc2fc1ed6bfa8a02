"""File names that are unique within a version, whatever a source calls its pictures."""


class UniqueNames:
    """Gives each picture a file name of its own: `name`, else `split/name`, else `name~2`; 64 bits are kept of each."""

    def __init__(self) -> None:
        self._taken: set[int] = set()

    def take(self, file_name: str, split: str | None) -> str:
        """The first free name for a picture, which is then taken."""
        if self._try(file_name):
            return file_name
        if split is not None and self._try(f"{split}/{file_name}"):
            return f"{split}/{file_name}"
        stem, dot, suffix = file_name.rpartition(".")
        number = 2
        while True:
            name = f"{stem}~{number}.{suffix}" if dot else f"{file_name}~{number}"
            if self._try(name):
                return name
            number += 1

    def _try(self, name: str) -> bool:
        key = hash(name)
        if key in self._taken:
            return False
        self._taken.add(key)
        return True
