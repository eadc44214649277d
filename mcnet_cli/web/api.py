"""The server's addresses: the page, and the JSON API that it uses as other programs may.

- `POST /animate`: a form with files and options starts a job, whose id is in the answer
- `GET /jobs/ID`: its state, place in the queue, progress, error and command line
- `GET /jobs/ID/film`: what it has made
- `DELETE /jobs/ID`: cancels it
- `GET /options`, `GET /motions`: what may be in the form
- `POST /sessions`: a place for files that several jobs use; `PUT` keeps it, `DELETE /sessions/ID` removes it
- `POST /files`: a form with a file for a session; of photos it tells where the faces are
- `GET /files/ID/picture`, `GET /files/ID/posed?yaw=10`: a photo as it is, and posed

Errors are `{"error": {"code", "message", "hint"}}`, with the codes that the command ends with.
"""

import contextlib
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import anyio
from anyio import CapacityLimiter, to_thread
from starlette.applications import Starlette
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from mcnet_cli import __version__
from mcnet_cli.errors import McnetError, UsageError, shown
from mcnet_cli.files import system_failure
from mcnet_cli.progress import OnProgress, Progress
from mcnet_cli.web.errors import TooMuch, Unknown, answer_bug, answer_failure, answer_refusal
from mcnet_cli.web.jobs import Film, Job, Queue, Work
from mcnet_cli.web.options import FILM_KINDS, SLIDERS, Option, require_visitors_options
from mcnet_cli.web.settings import Limits
from mcnet_cli.web.storage import Storage, Upload, Visitor, shown_name

if TYPE_CHECKING:
    from mcnet_cli.web.studio import Studio

Result = TypeVar("Result")
PAGE = Path(__file__).with_name("page")
PAGE_FILES = (
    *("index.html", "page.css", "icon.svg"),
    *("page.js", "api.js", "boxes.js", "camera.js", "elements.js", "film.js", "options.js", "posing.js"),
)
EXAMPLES, MOTIONS = PAGE / "examples", PAGE / "motions"
FILES = ("source", "driving", "background", "audio")
ROOM_EVERY = 25  # frames of a film, after which the room on the disk is looked at
NO_OPTIONS = {"source", "driving", "session", "format"}  # fields of a form besides options of `mcnet animate`
SWEEP_S = 60.0  # between looks for visitors who have left
COMMAND_HEADER = "Mcnet-Command"
MAX_FIELDS, MAX_FIELD_BYTES = 60, 1000
PHOTOS_AT_ONCE = 2  # each takes up to some 200 MB for a moment
MAX_UPLOADS = 100  # of a visitor


@dataclass(frozen=True)
class Api:
    """The server's addresses, over the parts that do the work.

    studio: waits until torch is loaded. options: those that visitors have.
    """

    storage: Storage
    queue: Queue
    studio: "Callable[[], Awaitable[Studio]]"
    options: tuple[Option, ...]
    limits: Limits
    photos: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(PHOTOS_AT_ONCE))

    def application(self) -> Starlette:
        """The ASGI application, without the guard before it."""
        routes = [
            Route("/", _page_file(PAGE_FILES[0])),
            *(Route(f"/{name}", _page_file(name)) for name in PAGE_FILES),
            Route("/examples/{name}", self._example),
            Route("/motions", self._motions),
            Route("/motions/{name}", self._motion_preview),
            Route("/options", self._options),
            Route("/sessions", self._open_session, methods=["POST"]),
            Route("/sessions/{id}", self._keep_session, methods=["PUT"]),
            Route("/sessions/{id}", self._end_session, methods=["DELETE"]),
            Route("/files", self._add_file, methods=["POST"]),
            Route("/files/{id}/picture", self._picture),
            Route("/files/{id}/posed", self._posed),
            Route("/animate", self._animate, methods=["POST"]),
            Route("/jobs/{id}", self._job),
            Route("/jobs/{id}", self._cancel, methods=["DELETE"]),
            Route("/jobs/{id}/film", self._film),
        ]
        return Starlette(
            routes=routes,
            lifespan=self._sweeping,
            exception_handlers={
                McnetError: answer_failure,
                HTTPException: answer_refusal,
                Exception: answer_bug,
            },
        )

    @contextlib.asynccontextmanager
    async def _sweeping(self, _app: Starlette) -> AsyncIterator[None]:
        """While the server runs, files of visitors who have left are removed."""

        async def sweep() -> None:
            while True:
                await anyio.sleep(SWEEP_S)
                self.storage.remove_idle(self.queue.busy)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(sweep)
            yield
            tasks.cancel_scope.cancel()

    async def _example(self, request: Request) -> Response:
        return FileResponse(_file_among(EXAMPLES, "*.jpg", request.path_params["name"]))

    async def _motions(self, _request: Request) -> Response:
        return JSONResponse((await self.studio()).bundled())

    async def _motion_preview(self, request: Request) -> Response:
        return FileResponse(_file_among(MOTIONS, "*.webp", request.path_params["name"]))

    async def _options(self, _request: Request) -> Response:
        return JSONResponse(
            {
                "version": __version__,
                "options": [option.as_json() for option in self.options],
                "film_kinds": FILM_KINDS,
                "examples": [path.name for path in sorted(EXAMPLES.glob("*.jpg"))],
                "sliders": SLIDERS,
                "limits": {
                    "upload_mb": self.limits.upload_mb,
                    "megapixels": self.limits.megapixels,
                    "seconds": self.limits.seconds,
                },
            }
        )

    async def _open_session(self, _request: Request) -> Response:
        return JSONResponse({"id": self.storage.new_visitor().id}, 201)

    async def _keep_session(self, request: Request) -> Response:
        self.storage.visitor(request.path_params["id"])
        return Response(status_code=204)

    async def _end_session(self, request: Request) -> Response:
        visitor = self.storage.visitor(request.path_params["id"])
        self.queue.cancel_all(visitor.id)
        self.storage.remove(visitor.id)
        return Response(status_code=204)

    async def _add_file(self, request: Request) -> Response:
        """Keeps a file for a session. kind: one of FILES. example: instead of a file."""
        async with _form(request) as form:
            visitor = self.storage.visitor(_text(form, "session"))
            kind = _text(form, "kind")
            if kind not in FILES:
                raise UsageError(f"kind {shown(kind)}: must be {', '.join(FILES)}")
            given: Any = form.get("file")
            if not isinstance(given, UploadFile):
                given = _file_among(EXAMPLES, "*.jpg", _text(form, "example"))
            upload = await self._kept(visitor, kind, given)
        facts: dict[str, Any] = {"id": upload.id, "name": upload.name}
        if kind == "source":
            facts |= await self._off_loop((await self.studio()).faces, upload)
        return JSONResponse(facts, 201)

    async def _picture(self, request: Request) -> Response:
        _, upload = self.storage.upload(request.path_params["id"])
        picture = await self._off_loop((await self.studio()).picture, upload)
        return Response(picture, media_type="image/jpeg")

    async def _posed(self, request: Request) -> Response:
        """A photo with its face posed by options. A header has the command line, escaped as in addresses."""
        _, upload = self.storage.upload(request.path_params["id"])
        options = require_visitors_options(request.query_params)
        posed = (await self.studio()).posed
        picture, command = await self._off_loop(posed, upload, options)
        return Response(picture, media_type="image/jpeg", headers={COMMAND_HEADER: quote(command)})

    async def _animate(self, request: Request) -> Response:
        """Starts a job. FILES: files, or ids of files of the session."""
        from mcnet_cli.web.studio import FilmOrder

        studio = await self.studio()
        async with _form(request) as form:
            session = form.get("session")
            is_lasting = isinstance(session, str) and session != ""
            visitor = self.storage.visitor(str(session)) if is_lasting else self.storage.new_visitor()
            try:
                options, film_kind = _options_of(form), _film_kind(form)
                source, driving, background, audio = [
                    await self._given(visitor, kind, form.get(kind)) for kind in FILES
                ]
                if source is None:
                    raise UsageError("source: a file is needed", hint="or the id of one of this session's")
                for name, upload in (("background", background), ("audio", audio)):
                    if upload is not None:
                        options.pop(name, None)
                order = FilmOrder(
                    source=source,
                    driving=driving or _text(form, "driving") or None,
                    background=background,
                    audio=audio,
                    options=options,
                    film_kind=film_kind,
                )
                command, work = await self._off_loop(studio.prepare, order, visitor.new_path(order.film_kind))
                job = Job(visitor.id, command, self._within_room(work))
                self.queue.submit(job)
            except BaseException:
                if not is_lasting:
                    self.storage.remove(visitor.id)
                raise
        return JSONResponse(job.as_json(self.queue.place(job)), 202, {"Location": f"/jobs/{job.id}"})

    async def _job(self, request: Request) -> Response:
        job = self._job_of(request)
        return JSONResponse(job.as_json(self.queue.place(job)))

    async def _cancel(self, request: Request) -> Response:
        job = self._job_of(request)
        self.queue.cancel(job)
        return JSONResponse(job.as_json(self.queue.place(job)))

    async def _film(self, request: Request) -> Response:
        film = self._job_of(request).film
        if film is None or not film.path.is_file():
            raise Unknown("there is no film")
        how = "attachment" if "download" in request.query_params else "inline"
        return FileResponse(film.path, filename=film.name, content_disposition_type=how)

    async def _off_loop(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """Calls what takes a while in a thread, so that other visitors are answered meanwhile."""
        return await to_thread.run_sync(function, *arguments, limiter=self.photos)

    def _within_room(self, work: Work) -> Work:
        """Work that ends with TooMuch when its film fills the disk up to the server's limit."""

        def made(tell: OnProgress) -> Film:
            def tell_within_room(progress: Progress) -> None:
                if progress.done % ROOM_EVERY == 0:
                    self.storage.require_room(0)
                tell(progress)

            return work(tell_within_room)

        return made

    def _job_of(self, request: Request) -> Job:
        """The job of the address, whose visitor is now kept longer."""
        job = self.queue.job(request.path_params["id"])
        self.storage.visitor(job.visitor)
        return job

    async def _given(self, visitor: Visitor, kind: str, value: "UploadFile | str | None") -> Upload | None:
        """A file of a form, or the visitor's file whose id it has instead. None for any other text."""
        if isinstance(value, UploadFile):
            return await self._kept(visitor, kind, value)
        return visitor.uploads.get(value or "")

    async def _kept(self, visitor: Visitor, kind: str, file: UploadFile | Path) -> Upload:
        """A file or an example, checked and kept. InputError if it can't be used as such; then it is gone."""
        if len(visitor.uploads) >= MAX_UPLOADS:
            raise TooMuch("this session has too many files", hint="load the page again")
        if isinstance(file, Path):
            name, path = file.name, visitor.new_path("")
            shutil.copyfile(file, path)
        else:
            name = shown_name(file.filename, kind)
            self.storage.require_room(file.size or 0)
            path = visitor.new_path(".motion" if name.lower().endswith(".motion") else "")
            await to_thread.run_sync(_copy, file, path)
        studio, upload = await self.studio(), Upload("", path, name)
        others = {"driving": studio.require_driving, "audio": studio.require_sound}
        require = others.get(kind, studio.require_photo)
        try:
            await self._off_loop(require, upload)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return visitor.add(path, name)


def _copy(upload: UploadFile, path: Path) -> None:
    try:
        with path.open("xb") as file:
            shutil.copyfileobj(upload.file, file, 1 << 20)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise system_failure(error, path.name) from error


def _file_among(folder: Path, pattern: str, name: str) -> Path:
    """The file of that name that ships in a folder; Unknown for any other text."""
    for path in folder.glob(pattern):
        if path.name == name:
            return path
    raise Unknown(f"there is no {shown(name[:40])}")


def _page_file(name: str) -> Callable[[Request], Awaitable[Response]]:
    async def answer(_request: Request) -> Response:
        return FileResponse(PAGE / name)

    return answer


@contextlib.asynccontextmanager
async def _form(request: Request) -> AsyncIterator[FormData]:
    """The form that a request brings, bounded in number and length of its fields."""
    async with request.form(
        max_files=len(FILES), max_fields=MAX_FIELDS, max_part_size=MAX_FIELD_BYTES
    ) as form:
        yield form


def _options_of(form: FormData) -> dict[str, str]:
    """The fields of a form that are options; `background` is one too, if it isn't a file."""
    given = {name: value for name, value in form.multi_items() if name not in NO_OPTIONS}
    return require_visitors_options({name: value for name, value in given.items() if isinstance(value, str)})


def _film_kind(form: FormData) -> str:
    """The suffix of the film that a form asks for."""
    kind = "." + _text(form, "format", "mp4")
    if kind not in FILM_KINDS:
        raise UsageError(f"format {shown(kind[1:])}: must be one of {', '.join(FILM_KINDS)}, without the dot")
    return kind


def _text(form: Mapping[str, Any], name: str, otherwise: str = "") -> str:
    value = form.get(name)
    return value if isinstance(value, str) and value else otherwise
