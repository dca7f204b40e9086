"""The body of a request becomes files in memory, within bounds and within a time.

Starlette spools what is large to a disk; here nothing is, since the bound on a body is far below
what would need it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple

from fastapi import HTTPException, Request
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException as StarletteError
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from pellucid.serving.settings import Settings

FIELD = "files"
_MAX_NAME = 120  # characters of a name that are kept


class Upload(NamedTuple):
    """One file: what the client calls it, without folders, and its bytes."""

    name: str
    data: bytes


def describe_body(max_files: int) -> dict[str, Any]:
    """The body of a request of at most so many files, as OpenAPI describes it."""
    said = "Image files: PNG, JPEG, TIFF, BMP, NPY or DICOM."
    field = {
        "type": "array",
        "minItems": 1,
        "maxItems": max_files,
        "items": {"type": "string", "format": "binary"},
        "description": said,
    }
    schema = {
        "type": "object",
        "required": [FIELD],
        "properties": {FIELD: field},
        "additionalProperties": False,
    }
    return {
        "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}
    }


class _Parser(MultiPartParser):
    """Starlette's parser, for which a body that ends before its closing boundary is damaged."""

    is_whole = False

    def on_end(self) -> None:
        """The closing boundary has come."""
        self.is_whole = True

    async def parse(self) -> FormData:
        """The fields; raises `MultiPartException`."""
        self.stream = self._to_the_end(self.stream)
        return await super().parse()

    async def _to_the_end(self, stream: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
        async for part in stream:
            yield part
        if not self.is_whole:
            raise MultiPartException("The body is no whole multipart/form-data.")


async def read_uploads(request: Request, settings: Settings) -> list[Upload]:
    """The files of a multipart body; raises `HTTPException` 400, 408, 413, 415 or 422."""
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise HTTPException(415, f"Send images as multipart/form-data, in fields named {FIELD!r}.")
    try:
        async with asyncio.timeout(settings.upload_seconds):
            parser = _Parser(
                request.headers, request.stream(), max_files=settings.max_files, max_fields=8
            )
            parser.spool_max_size = settings.max_body + 1  # beyond what the gate lets in
            form = await parser.parse()
            parts = [part for name, part in form.multi_items() if name == FIELD]
            uploads = [
                Upload(safe_name(part.filename), await part.read())
                for part in parts
                if isinstance(part, UploadFile)
            ]
            await form.close()
    except TimeoutError:
        said = f"A request is sent within {settings.upload_seconds:g} s."
        raise HTTPException(408, said, {"Connection": "close"}) from None
    except ClientDisconnect:
        raise HTTPException(400, "The client went away.") from None
    except MultiPartException as error:
        raise HTTPException(400, error.message) from error
    except StarletteError:  # the gate's
        raise
    except Exception as error:  # the parser raises its own kinds for a damaged body
        raise HTTPException(400, "The body is no whole multipart/form-data.") from error
    if len(parts) != len(uploads):
        raise HTTPException(422, f"Fields named {FIELD!r} are files, with a file name.")
    if not uploads:
        raise HTTPException(422, f"A request has at least one file, in a field named {FIELD!r}.")
    return uploads


async def read_upload(request: Request, settings: Settings) -> Upload:
    """The one file of a request; raises what `read_uploads` raises, and 422 for several."""
    uploads = await read_uploads(request, settings)
    if len(uploads) != 1:
        raise HTTPException(422, f"One image at a time; there are {len(uploads)}.")
    return uploads[0]


def safe_name(name: str | None) -> str:
    r"""A file's own name, without folders and control characters, of bounded length.

    >>> safe_name("../../etc/pass\nwd"), safe_name("C:\\scans\\a.png"), safe_name("")
    ('passwd', 'a.png', 'image')
    """
    last = PurePosixPath(PureWindowsPath(name or "").name).name
    kept = re.sub(r"[^\w .()+,#@=-]", "", last).strip(" .")
    return kept[-_MAX_NAME:] or "image"
