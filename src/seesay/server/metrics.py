"""What the server counts, for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """Counters of one app. No label holds what a caller wrote: paths are those of the routes, callers those of the
    keys' names."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "seesay_requests", "Requests answered.", ("path", "status", "caller"), registry=self.registry
        )
        self._seconds = Histogram(
            "seesay_request_seconds",
            "From a request's first byte to its last.",
            ("path",),
            buckets=SECONDS,
            registry=self.registry,
        )
        self._batches = Histogram(
            "seesay_batch_size",
            "Requests that went through a model together.",
            buckets=(1, 2, 4, 8, 16, 32),
            registry=self.registry,
        )
        self._model_seconds = Counter("seesay_model_seconds", "Time that models worked.", registry=self.registry)
        self._pictures = Counter(
            "seesay_pictures", "Pictures that were encoded, or were remembered.", ("how",), registry=self.registry
        )
        self._left = Counter(
            "seesay_callers_left", "Requests whose caller left before the answer.", registry=self.registry
        )
        self.busy = Gauge("seesay_requests_in_flight", "Requests that are worked on or wait.", registry=self.registry)
        self.loaded = Gauge("seesay_models_loaded", "Models in memory.", registry=self.registry)

    def request(self, path: str, status: int, caller: str, seconds: float) -> None:
        """One answer."""
        self._requests.labels(path, str(status), caller).inc()
        self._seconds.labels(path).observe(seconds)

    def batch(self, size: int, seconds: float) -> None:
        """One passage through a model."""
        self._batches.observe(size)
        self._model_seconds.inc(seconds)

    def seen(self, *, again: bool) -> None:
        """One picture."""
        self._pictures.labels("remembered" if again else "encoded").inc()

    def left(self) -> None:
        """A caller went away."""
        self._left.inc()

    def page(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self.registry)
