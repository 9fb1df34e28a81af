"""AdmissionReview in and out (``admission.k8s.io/v1``; Kubernetes documentation, "Webhook request and response")."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import orjson

from wi_operator.admission.injection import Verdict, inject
from wi_operator.admission.settings import InjectionSettings
from wi_operator.admission.validate.ephemeral import unusable_ephemeral_containers
from wi_operator.admission.validate.kinds import unsupported_yet
from wi_operator.core.errors import WorkloadIdentityError
from wi_operator.index.store import Index

API_VERSION = "admission.k8s.io/v1"
KIND = "AdmissionReview"
UNPROCESSABLE = 422

Judge = Callable[[Mapping[str, Any]], Verdict]


class MalformedReviewError(WorkloadIdentityError):
    """The body is no AdmissionReview, or its object is not shaped as its kind says."""


class Answer(NamedTuple):
    """The body of the response and what is worth counting and logging; never the patch."""

    body: bytes
    namespace: str
    name: str
    verdict: Verdict


def answer(body: bytes, judge: Judge) -> Answer:
    """Answer a review; raises ``MalformedReviewError``."""
    request = _read(body)
    try:
        verdict = judge(request)
    except (TypeError, LookupError, AttributeError, ValueError) as error:
        # The API server decodes into its types before it calls: only somebody else sends such an object.
        raise MalformedReviewError(f"request.object is not shaped as its kind says ({type(error).__name__})") from error
    return Answer(_write(request["uid"], verdict), request.get("namespace") or "", _name(request), verdict)


def judge_pod(request: Mapping[str, Any], *, index: Index, settings: InjectionSettings) -> Verdict:
    """Judge a pod's creation or its new ephemeral containers; anything else is allowed as it is."""
    resource = (request.get("resource") or {}).get("resource")
    event = (resource, request.get("subResource") or "", request.get("operation"))
    if event == ("pods", "", "CREATE"):
        return inject(request["object"], namespace=request.get("namespace") or "", index=index, settings=settings)
    if event == ("pods", "ephemeralcontainers", "UPDATE"):
        problems = unusable_ephemeral_containers(request["object"], request.get("oldObject") or {})
        return Verdict(problems=tuple(problems))
    return Verdict()


def judge_kind(request: Mapping[str, Any]) -> Verdict:
    """Warn of what is not supported yet; nothing is refused here (the schema does that)."""
    item = request.get("object") or {}
    if not item:
        return Verdict()
    return Verdict(warnings=tuple(unsupported_yet(item.get("kind", ""), item)))


def _read(body: bytes) -> Mapping[str, Any]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise MalformedReviewError("the body is not JSON") from None
    if not isinstance(document, dict) or (document.get("apiVersion"), document.get("kind")) != (API_VERSION, KIND):
        raise MalformedReviewError(f"the body is not an {API_VERSION} {KIND}")
    request = document.get("request")
    if not isinstance(request, dict) or not isinstance(request.get("uid"), str) or not request["uid"]:
        raise MalformedReviewError("request.uid is missing")
    return request


def _name(request: Mapping[str, Any]) -> str:
    metadata = (request.get("object") or {}).get("metadata") or {}
    return str(request.get("name") or metadata.get("name") or metadata.get("generateName") or "")


def _write(uid: str, verdict: Verdict) -> bytes:
    response: dict[str, Any] = {"uid": uid, "allowed": not verdict.problems}
    if verdict.warnings:
        response["warnings"] = verdict.warnings
    if verdict.problems:
        message = "; ".join(verdict.problems)
        response["status"] = {"code": UNPROCESSABLE, "reason": "Invalid", "message": message}
    elif verdict.operations:
        response["patchType"] = "JSONPatch"
        response["patch"] = base64.b64encode(orjson.dumps(verdict.operations)).decode()
    return orjson.dumps({"apiVersion": API_VERSION, "kind": KIND, "response": response})
