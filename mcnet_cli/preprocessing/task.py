"""One task of a run, as every engine does it: a file's clips, then its record."""

import logging
import os
from dataclasses import dataclass
from pathlib import Path

from mcnet_cli.errors import InputError, McnetError, SystemFailure, shown
from mcnet_cli.files import SYSTEM_ERRNOS, system_failure
from mcnet_cli.preprocessing.inputs import Source
from mcnet_cli.preprocessing.records import Records, done_record, failed_record, unfinished_record
from mcnet_cli.preprocessing.request import Settings
from mcnet_cli.preprocessing.video import OnFrames, Tools, process
from mcnet_cli.preprocessing.writer import Writer, sizes_of

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Work:
    """What all tasks of a run share; it travels to the processes that do them."""

    output: Path
    settings: Settings
    device: str = "cpu"

    def limit_threads(self) -> None:
        """One thread a process: a run has as many processes as it may use processors."""
        import cv2

        cv2.setNumThreads(1)
        os.environ["OMP_NUM_THREADS"] = "1"  # for torch, which face-alignment loads

    def do(self, source: Source, tools: Tools, on_frames: OnFrames) -> None:
        """Makes a source's clips and writes its record: of failure, if the file can't be used.

        A file that meets a fault of ours or of a library fails alone, too. SystemFailure and WeightsError are
        everybody's, and are raised.
        """
        records = Records(self.output)
        records.forget(source)

        def take_note(files: list[Path]) -> None:
            names = [path.relative_to(self.output).as_posix() for path in files]
            records.write(unfinished_record(source, names))

        writer = Writer(source, self.output, self.settings, take_note)
        try:
            warnings = process(source, writer, tools, on_frames)
            files = dict(sizes_of(writer.files, self.output))
            records.write(done_record(source, self.settings, files, writer.rows, warnings))
        except InputError as error:
            records.write(failed_record(source, self.settings, str(error)))
        except McnetError:
            raise
        except MemoryError as error:
            raise SystemFailure(
                f"out of memory at {shown(source.path)}", hint="take fewer --workers"
            ) from error
        except OSError as error:
            if error.errno in SYSTEM_ERRNOS:
                raise system_failure(error, self.output / source.name) from error
            self.note_fault(source, error)
        except Exception as error:  # whatever a library may raise, the other files must go on
            log.debug("%s", shown(source.path), exc_info=True)
            self.note_fault(source, error)

    def note_fault(self, source: Source, error: Exception) -> None:
        """Writes the record of a file at which the program failed."""
        reason = shown(str(error).split("\n")[0])
        self.give_up(source, f"{shown(source.path)}: mcnet failed at it ({type(error).__name__}: {reason})")

    def give_up(self, source: Source, reason: str) -> None:
        """Writes the record of a file that can't be worked on; what there is of its clips goes."""
        records = Records(self.output)
        records.forget(source)
        records.write(failed_record(source, self.settings, reason))
