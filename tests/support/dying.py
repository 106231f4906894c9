"""A disk under a process that is killed."""

from flowc_engine.journal.disk import OsDisk


class Killed(BaseException):
    """As a process that is gone: nothing is tidied up."""


class DyingDisk(OsDisk):
    """Does so many operations that change something, and then none."""

    def __init__(self, operations):
        self.left = operations

    def _one(self):
        if self.left <= 0:
            raise Killed
        self.left -= 1

    def open(self, path, mode="read"):
        if mode == "create":
            self._one()
        return super().open(path, mode)

    def pwritev(self, fd, pieces, at):
        self._one()
        return super().pwritev(fd, pieces, at)

    def fdatasync(self, fd):
        self._one()
        super().fdatasync(fd)

    def rename(self, old, new):
        self._one()
        super().rename(old, new)

    def sync_folder(self, folder):
        self._one()
        super().sync_folder(folder)

    def unlink(self, path):
        self._one()
        super().unlink(path)
