"""Small fits on one processor: they repeat to the last digit, and threads would only wait.

Threads add up in any order, so that last digits differ from run to run; and where others use the
same processors, OpenMP's threads wait for each other longer than they work.
"""

from __future__ import annotations

from contextlib import AbstractContextManager


def one_thread() -> AbstractContextManager[object]:
    """A context in which BLAS and OpenMP, so also scikit-learn, use one thread.

    `threadpoolctl` comes with scikit-learn, which needs it.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    limits: AbstractContextManager[object] = threadpool_limits(1)
    return limits
