"""How requests are joined into batches: the fields of TensorFlow Serving's BatchingParameters, checked.

`batching` goes by them; `settings_of` reads them from the file that the operator gives.
"""

from dataclasses import dataclass

from charflow.serving.errors import InvalidArgument


@dataclass(frozen=True, kw_only=True)
class BatchingSettings:
    """The fields of BatchingParameters, with TensorFlow Serving's defaults.

    Attributes:
        max_batch_size: most rows of a request, and of a batch unless large requests are split.
        batch_timeout_micros: how long a batch waits to fill.
        max_enqueued_batches: batches a queue holds before it refuses.
        num_batch_threads: batches that run at the same time.
        allowed_batch_sizes: sizes that batches are padded to; empty for any.
        pad_variable_length_inputs: pad other dimensions to the batch's largest with a tensor's first element.
        max_execution_batch_size: most rows of a batch when large requests are split into several; None does not split.
        thread_pool_name: names the threads in the metrics.
    """

    max_batch_size: int = 1000
    batch_timeout_micros: int = 0
    max_enqueued_batches: int = 10
    num_batch_threads: int = 1
    allowed_batch_sizes: tuple[int, ...] = ()
    pad_variable_length_inputs: bool = False
    max_execution_batch_size: int | None = None
    thread_pool_name: str = "batch_threads"

    def __post_init__(self) -> None:
        for name in ("max_batch_size", "max_enqueued_batches", "num_batch_threads"):
            if getattr(self, name) < 1:
                raise InvalidArgument(f"{name} must be positive; was {getattr(self, name)}")
        if self.batch_timeout_micros < 0:
            raise InvalidArgument(f"batch_timeout_micros must be non-negative; was {self.batch_timeout_micros}")
        sizes = self.allowed_batch_sizes
        if any(size < 1 for size in sizes) or list(sizes) != sorted(set(sizes)):
            raise InvalidArgument(f"allowed_batch_sizes must be positive and increasing; was {list(sizes)}")
        largest = self.largest
        if sizes and sizes[-1] != largest:
            raise InvalidArgument(
                f"Last entry in allowed_batch_sizes must match max_batch_size; last was {sizes[-1]}; expected {largest}"
            )
        if not 0 < largest <= self.max_batch_size:
            raise InvalidArgument(
                f"max_execution_batch_size must be from 1 to max_batch_size, {self.max_batch_size}; was {largest}"
            )

    @property
    def largest(self) -> int:
        """Most rows of a batch."""
        return self.max_execution_batch_size or self.max_batch_size
