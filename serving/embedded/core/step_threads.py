"""Gives each step of a graph the threads that run its ops: all cores to one that is alone, else one thread to each.

`servable` asks for them; `server` makes them, once for all models. TensorFlow has one pool for all steps. With a
thread a core, long loops keep the other steps waiting; with more, every op wakes threads that find nothing to do: two
batches of 32 texts side by side took a third more processor time with four threads a core than with one thread each,
which runs two steps on two cores as fast as the common pool does. A batch that is alone is written faster by all cores.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tensorflow.core.protobuf import config_pb2

ALONE = 0  # the pool of a step that is alone, and of those beyond the last thread


class StepThreads:
    """Pools of threads that all sessions of this configuration share; every method may be called from any thread.

    Attributes:
        config: what sessions need to have the pools.
    """

    def __init__(self, config: config_pb2.ConfigProto, *, cores: int, steps: int) -> None:
        """Adds the pools to a configuration, which is copied.

        Args:
            config: without pools of its own.
            cores: threads of a step that is alone.
            steps: those that have a thread of their own beside it.
        """
        self.config = config_pb2.ConfigProto()
        self.config.CopyFrom(config)
        for size, name in [(cores, f"alone-{cores}"), *((1, f"step-{number}") for number in range(steps))]:
            self.config.session_inter_op_thread_pool.add(num_threads=size, global_name=name)
        self._lock = threading.Lock()
        self._running = 0
        self._free = list(range(steps, 0, -1))

    @contextmanager
    def lease(self) -> Iterator[int]:
        """Lends the number of a pool for one step.

        >>> threads = StepThreads(config_pb2.ConfigProto(), cores=2, steps=2)
        >>> with threads.lease() as alone, threads.lease() as second, threads.lease() as third, threads.lease() as last:
        ...     alone, second, third, last
        (0, 1, 2, 0)
        """
        with self._lock:
            pool = self._free.pop() if self._running and self._free else ALONE
            self._running += 1
        try:
            yield pool
        finally:
            with self._lock:
                self._running -= 1
                if pool != ALONE:
                    self._free.append(pool)
