"""A server on the loopback that answers MLflow's own Unity Catalog client as Unity Catalog does."""

from __future__ import annotations

import json
import posixpath
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Callable, Optional
from urllib.parse import parse_qsl, unquote, urlsplit

PAGE = 2  # versions of one answer to a search
PREFIX = "/api/2.0/mlflow/unity-catalog/"
FILES = "/api/2.0/fs/"


class AnswerError(Exception):
    """An error that the server answers with."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status, self.code = status, code


class UnityCatalog:
    """Models, versions, tags, aliases and files, and the requests that were made.

    Args:
        absent: the error code of what is not there; Unity Catalog has two.
    """

    def __init__(self, absent: str) -> None:
        self.absent = absent
        self.models: dict[str, dict[str, Any]] = {}
        self.files: dict[str, bytes] = {}
        self.calls: list[str] = []
        self.refuse: Optional[Callable[[str], bool]] = None  # a call that is not allowed

    def _model(self, name: str) -> dict[str, Any]:
        if name not in self.models:
            raise AnswerError(404, self.absent)
        return self.models[name]

    def _version(self, name: str, number: str) -> dict[str, Any]:
        versions = self._model(name)["versions"]
        if number not in versions:
            raise AnswerError(404, self.absent)
        found = versions[number]
        named = self.models[name]["aliases"].items()
        aliases = [{"alias": alias, "version": at} for alias, at in named if at == number]
        return {**found, "aliases": aliases}

    def answer(self, method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """The answer to one request of the registry."""
        self.calls.append(f"{method} {path}")
        if self.refuse is not None and self.refuse(path):
            raise AnswerError(403, "PERMISSION_DENIED")
        name, number = body.get("name", ""), str(body.get("version", ""))
        if path.endswith(":is-databricks-sdk-models-artifact-repository-enabled"):
            return {"is_databricks_sdk_models_artifact_repository_enabled": True}
        if path == "registered-models/create":
            if name in self.models:
                raise AnswerError(400, "RESOURCE_ALREADY_EXISTS")
            self.models[name] = {"versions": {}, "aliases": {}, "next": 1}
            return {"registered_model": {"name": name}}
        if path == "registered-models/get":
            self._model(name)
            return {"registered_model": {"name": name}}
        if path == "registered-models/alias":
            return self._alias(method, name, body["alias"], number)
        if path == "model-versions/create":
            return self._create(name, body)
        if path == "model-versions/search":
            return self._search(body)
        if path == "model-versions/get":
            return {"model_version": self._version(name, number)}
        self._version(name, number)
        stored = self.models[name]["versions"][number]
        if path == "model-versions/finalize":
            stored["status"] = "READY"
            return {"model_version": stored}
        if path == "model-versions/set-tag":
            kept = [tag for tag in stored["tags"] if tag["key"] != body["key"]]
            stored["tags"] = [*kept, {"key": body["key"], "value": body["value"]}]
            return {}
        if path == "model-versions/delete":
            if self._version(name, number)["aliases"]:
                raise AnswerError(400, "INVALID_STATE")
            del self.models[name]["versions"][number]
            return {}
        if path == "model-versions/emit-lineage":
            return {}
        raise AnswerError(501, f"NOT_IMPLEMENTED {method} {path}")

    def _alias(self, method: str, name: str, alias: str, number: str) -> dict[str, Any]:
        aliases = self._model(name)["aliases"]
        if method == "POST":
            self._version(name, number)
            aliases[alias] = number
            return {}
        if alias not in aliases:
            raise AnswerError(404, self.absent)
        if method == "DELETE":
            del aliases[alias]
            return {}
        return {"model_version": self._version(name, aliases[alias])}

    def _create(self, name: str, body: dict[str, Any]) -> dict[str, Any]:
        model = self._model(name)
        number = str(model["next"])
        model["next"] += 1
        model["versions"][number] = {
            "name": name,
            "version": number,
            "status": "PENDING_REGISTRATION",
            "source": body["source"],
            "run_id": body.get("run_id", ""),
            "tags": body.get("tags", []),
            "model_id": body.get("model_id", ""),
            "storage_location": f"s3://nowhere/{name}/{number}",
        }
        return {"model_version": model["versions"][number]}

    def _search(self, body: dict[str, Any]) -> dict[str, Any]:
        name = body["filter"].removeprefix("name='").removesuffix("'")
        versions = sorted(self._model(name)["versions"].values(), key=lambda v: -int(v["version"]))
        start = int(body.get("page_token") or 0)
        rows = [
            {key: value for key, value in version.items() if key != "tags"}
            for version in versions[start : start + PAGE]
        ]
        more = start + PAGE < len(versions)
        return {"model_versions": rows, **({"next_page_token": str(start + PAGE)} if more else {})}

    def list_folder(self, folder: str) -> dict[str, Any]:
        """The files and folders right under a folder."""
        inside = [path for path in self.files if path.startswith(f"{folder}/")]
        entries: dict[str, dict[str, Any]] = {}
        for path in inside:
            rest = path[len(folder) + 1 :]
            own = posixpath.join(folder, rest.split("/")[0])
            entry = {"path": own, "name": posixpath.basename(own), "is_directory": "/" in rest}
            entries[own] = {**entry, "file_size": len(self.files[path])}
        if not entries:
            raise AnswerError(404, "NOT_FOUND")
        return {"contents": list(entries.values())}


def _handler(catalog: UnityCatalog) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Nothing is printed."""

        def _send(self, status: int, content: bytes, kind: str = "application/json") -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def _answer(self) -> None:
            url = urlsplit(self.path)
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = unquote(url.path)
            try:
                if path.startswith(FILES):
                    self._file(path[len(FILES) :], content)
                    return
                if not path.startswith(PREFIX):
                    raise AnswerError(404, "ENDPOINT_NOT_FOUND")
                body = json.loads(content) if content else dict(parse_qsl(url.query))
                answer = catalog.answer(self.command, path[len(PREFIX) :], body)
                self._send(200, json.dumps(answer).encode())
            except AnswerError as error:
                answer = {"error_code": error.code, "message": f"{self.command} {path}"}
                self._send(error.status, json.dumps(answer).encode())

        def _file(self, path: str, content: bytes) -> None:
            kind, _, name = path.partition("/")
            name = f"/{name}".replace("//", "/")
            if kind == "directories":
                answer = catalog.list_folder(name)
                self._send(200, json.dumps(answer).encode())
            elif self.command == "PUT":
                catalog.files[name] = content
                self._send(204, b"")
            elif name in catalog.files:
                self._send(200, catalog.files[name], "application/octet-stream")
            else:
                raise AnswerError(404, "NOT_FOUND")

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _answer  # noqa: N815

    return Handler


@contextmanager
def served(catalog: UnityCatalog) -> Iterator[str]:
    """The address at which the catalog is asked, within the block."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(catalog))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
