"""The endpoint of an LLM: answers as OpenAI, Anthropic, Azure AI and Gemini do, and records the key of every request.

Standard library only; alone it runs as ``python llm.py PORT`` and tells SHA-256 prefixes of the keys at ``/_keys``.
"""

import hashlib
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TEXT = "Thought: I now can give a great answer\nFinal Answer: done"
USAGE = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
GATE_SECONDS = 60
KEY_HEADERS = ("x-api-key", "api-key", "x-goog-api-key")


class Endpoint:
    """Listens on ``host:port`` (0: any); ``keys`` are those of the requests so far, in order.

    While ``gate`` is cleared, answers wait.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self.keys: list[str] = []
        self.gate = threading.Event()
        self.gate.set()
        endpoint = self

        class Handler(_Handler):
            keys = endpoint.keys
            gate = endpoint.gate

        self._server = ThreadingHTTPServer((host, port), Handler)
        self.port = int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """Where it listens, without a path."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Serve in the background."""
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        """Serve until the process ends."""
        self._server.serve_forever()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    keys: list[str]
    gate: threading.Event

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Tell fingerprints of the keys."""
        prints = [hashlib.sha256(key.encode()).hexdigest()[:12] for key in self.keys]
        self._send("application/json", json.dumps(prints).encode())

    def do_POST(self) -> None:
        """Answer a completion."""
        body = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))) or b"{}")
        self.keys.append(self._key())
        self.gate.wait(GATE_SECONDS)
        if "generateContent" in self.path or "streamGenerateContent" in self.path:
            self._answer_gemini(body)
        elif self.path.endswith("/messages"):
            self._answer_anthropic(body)
        else:
            self._answer_openai(body)

    def _key(self) -> str:
        bearer = self.headers.get("authorization", "").partition(" ")[2]
        return next((self.headers[name] for name in KEY_HEADERS if name in self.headers), bearer)

    def _answer_openai(self, body: dict[str, Any]) -> None:
        head = {"id": "1", "created": 0, "model": body.get("model", "m")}
        schema = ((body.get("response_format") or {}).get("json_schema") or {}).get("schema")
        message: dict[str, Any] = {"role": "assistant", "content": json.dumps(_example(schema)) if schema else TEXT}
        if _wants_tool(body):
            function = _called(body["tools"], body["tool_choice"])
            call = {"name": function["name"], "arguments": json.dumps(_example(function["parameters"]))}
            message |= {"content": None, "tool_calls": [{"id": "c", "index": 0, "type": "function", "function": call}]}
        if body.get("stream"):
            chunk = head | {"object": "chat.completion.chunk"}
            first = chunk | {"choices": [{"index": 0, "delta": message, "finish_reason": None}]}
            last = chunk | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": USAGE}
            self._stream([f"data: {json.dumps(first)}", f"data: {json.dumps(last)}", "data: [DONE]"])
            return
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        self._json(head | {"object": "chat.completion", "choices": [choice], "usage": USAGE})

    def _answer_anthropic(self, body: dict[str, Any]) -> None:
        usage = {"input_tokens": 1, "output_tokens": 1}
        content: dict[str, Any] = {"type": "text", "text": TEXT}
        if _wants_tool(body):
            tool = next(each for each in body["tools"] if each["name"] == body["tool_choice"]["name"])
            content = {"type": "tool_use", "id": "t", "name": tool["name"], "input": _example(tool["input_schema"])}
        elif schema := _anthropic_schema(body):
            content["text"] = json.dumps(_example(schema))
        message = {"id": "m", "type": "message", "role": "assistant", "model": body.get("model", "m"), "usage": usage,
                   "stop_reason": "end_turn", "stop_sequence": None, "content": [content]}  # fmt: skip
        if not body.get("stream"):
            self._json(message)
            return
        events: list[dict[str, Any]] = [
            {"type": "message_start", "message": message | {"content": [], "stop_reason": None}},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": TEXT}},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": usage},
            {"type": "message_stop"},
        ]
        self._stream([f"event: {event['type']}\ndata: {json.dumps(event)}" for event in events])

    def _answer_gemini(self, body: dict[str, Any]) -> None:
        settings = body.get("generationConfig") or {}
        schema = settings.get("responseJsonSchema") or settings.get("responseSchema")
        part: dict[str, Any] = {"text": json.dumps(_example(schema)) if schema else TEXT}
        forced = ((body.get("toolConfig") or {}).get("functionCallingConfig") or {}).get("mode") == "ANY"
        if forced and body.get("tools"):
            function = body["tools"][0]["functionDeclarations"][0]
            parameters = function.get("parametersJsonSchema") or function.get("parameters")
            part = {"functionCall": {"name": function["name"], "args": _example(parameters)}}
        candidate = {"content": {"role": "model", "parts": [part]}, "finishReason": "STOP", "index": 0}
        answer = {"candidates": [candidate], "usageMetadata": {"promptTokenCount": 1, "totalTokenCount": 2}}
        if "streamGenerateContent" in self.path:
            self._stream([f"data: {json.dumps(answer)}"])
        else:
            self._json(answer)

    def _json(self, document: dict[str, Any]) -> None:
        self._send("application/json", json.dumps(document).encode())

    def _stream(self, events: list[str]) -> None:
        self._send("text/event-stream", "".join(event + "\n\n" for event in events).encode())

    def _send(self, kind: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _wants_tool(body: dict[str, Any]) -> bool:
    return (
        bool(body.get("tools")) and isinstance(body.get("tool_choice"), dict) and "auto" not in str(body["tool_choice"])
    )


def _called(tools: list[dict[str, Any]], choice: dict[str, Any]) -> dict[str, Any]:
    name = (choice.get("function") or {}).get("name")
    functions: list[dict[str, Any]] = [each["function"] for each in tools]
    return next((each for each in functions if each["name"] == name), functions[0])


def _anthropic_schema(body: dict[str, Any]) -> Any:
    form = body.get("output_format") or (body.get("output_config") or {}).get("format") or {}
    return form.get("schema")


def _example(schema: Any, root: Any = None) -> Any:
    """Return the smallest thing that satisfies a JSON schema."""
    root = root or schema
    schema = schema or {}
    if "$ref" in schema:
        return _example(root["$defs"][schema["$ref"].rpartition("/")[2]], root)
    for choice in ("anyOf", "allOf", "oneOf"):
        if choice in schema:
            return _example(schema[choice][0], root)
    if "enum" in schema:
        return schema["enum"][0]
    kind = str(schema.get("type", "object")).lower()
    if kind == "object":
        return {name: _example(each, root) for name, each in (schema.get("properties") or {}).items()}
    if kind == "array":
        return [_example(schema["items"], root)] if schema.get("items") else []
    return {"string": "done", "integer": 5, "number": 5, "boolean": True}.get(kind)


if __name__ == "__main__":
    Endpoint("0.0.0.0", int(sys.argv[1])).serve()
