"""Counters and times of a server, as Prometheus reads them.

Labels are names of ours alone: no file, client or patient is in them.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_BATCHES = (1, 2, 4, 8, 16, 32)


class Meters:
    """What one server counts, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "pellucid_requests", "Requests answered", ["route", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "pellucid_request_seconds",
            "Time from the first byte of a request to the last of its answer",
            ["route"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.images = Counter(
            "pellucid_images", "Images by what was said", ["model", "said"], registry=self.registry
        )
        self.batches = Histogram(
            "pellucid_batch_images",
            "Images computed together",
            ["model"],
            buckets=_BATCHES,
            registry=self.registry,
        )
        self.waiting = Gauge(
            "pellucid_waiting_images", "Images being read or computed", registry=self.registry
        )
        self.bodies = Gauge(
            "pellucid_body_bytes", "Bytes of requests held in memory", registry=self.registry
        )

    def text(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self.registry)
