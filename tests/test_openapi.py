"""The API keeps what its own description promises, whatever is sent."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from served import build, guarded_model

schemathesis = pytest.importorskip("schemathesis")
openapi_checks = pytest.importorskip("schemathesis.specs.openapi.checks")
pytestmark = pytest.mark.slow
ROUTES = ("/v1/predict", "/v1/explain", "/v1/model", "/health", "/ready", "/metrics")


@pytest.fixture(scope="module")
def operations(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    api = build({"tiny": guarded_model(tmp_path_factory.mktemp("served") / "model")})
    described = schemathesis.openapi.from_asgi("/openapi.json", api)
    found = [result.ok() for result in described.get_all_operations()]
    return {operation.path: operation for operation in found}


def test_every_route_is_described(operations: dict[str, Any]) -> None:
    assert sorted(operations) == sorted(ROUTES)


@pytest.mark.parametrize("route", ROUTES)
def test_it_answers_as_described(operations: dict[str, Any], route: str) -> None:
    """By schemathesis (not as its plugin, which does not know this pytest).

    No description can say which bytes are a picture, so a file that is none may be refused by
    `explain`; `predict` answers it.
    """
    refuses = [openapi_checks.positive_data_acceptance] if route == "/v1/explain" else []

    @given(case=operations[route].as_strategy())
    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    def check(case: Any) -> None:
        case.call_and_validate(excluded_checks=refuses)

    check()
