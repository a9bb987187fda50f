"""What can be read from a tensor cheaply, and how its numbers reach the host without waiting."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

_PLAIN = (Tensor, torch.nn.Parameter)


def usable(value: object) -> Tensor | None:
    """``value`` detached, if it is a dense floating-point tensor with elements; else None.

    A ``DTensor`` gives its local shard: the whole would need every rank to take part, and the
    ranks would hang if only one of them did.
    """
    if not isinstance(value, Tensor):
        return None
    if type(value) not in _PLAIN:
        local = getattr(value, "to_local", None)
        value = None if local is None else local()
        if type(value) not in _PLAIN:
            return None
    assert isinstance(value, Tensor)
    if torch._C._functorch.is_functorch_wrapped_tensor(value):
        return None
    if value.layout is not torch.strided or value.is_nested or value.is_meta:
        return None
    if not value.is_floating_point() or value.numel() == 0:
        return None
    return value.detach()


def usable_gradient(value: object) -> Tensor | None:
    """A gradient as :func:`usable` gives it; of a sparse one (embeddings), the values it holds.

    Rows that a batch names twice may stand in it twice, and have to be added up first. How many
    there are then is for the device to say, so that only the CPU, which is never behind, is asked.
    """
    if isinstance(value, Tensor) and value.layout is torch.sparse_coo and not value.is_meta:
        if not value.is_coalesced():
            if value.device.type != "cpu":
                return None
            value = value.detach().coalesce()
        value = value.detach()._values()
    return usable(value)


def first_usable(output: object, depth: int = 3) -> Tensor | None:
    """The first usable tensor in a module's output: itself, or inside tuples, lists and dicts."""
    if isinstance(output, Tensor):
        return usable(output)
    if depth == 0:
        return None
    inner: Sequence[object] = ()
    if isinstance(output, Mapping):
        inner = list(output.values())
    elif isinstance(output, (tuple, list)):
        inner = output
    for value in inner:
        found = first_usable(value, depth - 1)
        if found is not None:
            return found
    return None


def flat(tensor: Tensor) -> Tensor:
    """The elements as one dimension, in the order in which they lie in memory.

    Order does not matter to a sample, a copy of a transposed or channels-last tensor does.
    """
    if not tensor.is_contiguous():
        order = sorted(range(tensor.ndim), key=tensor.stride().__getitem__, reverse=True)
        tensor = tensor.permute(order)
    return tensor.reshape(-1)


@functools.lru_cache(maxsize=4096)
def stride(shape: tuple[int, ...], at_most: int) -> int:
    """The step between sampled elements so that about ``at_most`` of prod(shape) are taken.

    Odd, and without a common factor with any dimension where possible: a stride that divides a
    row's length would read a single channel and call it the whole.
    """
    size = math.prod(shape)
    found = math.ceil(size / at_most) | 1
    if size <= at_most:
        return 1
    for candidate in range(found, found + 64, 2):
        if all(math.gcd(candidate, dim) == 1 for dim in shape):
            return candidate
    return found


def sample(tensor: Tensor, at_most: int) -> Tensor:
    """A view [<= at_most] of elements spread evenly over ``tensor``."""
    return flat(tensor)[:: stride(tuple(tensor.shape), at_most)]


class HostCopy:
    """0-d tensors on their way to the host: one stack and one copy per device.

    On CUDA the copy goes to pinned memory and is done when its event says so; the caching host
    allocator gives such memory to nobody else before that. On the CPU the stack is the copy.
    Any other device has no event to poll, so the copy waits for it.
    """

    def __init__(self, values: Sequence[Tensor], dtype: torch.dtype = torch.float32) -> None:
        self._size = len(values)
        self._dtype = dtype
        self._parts: list[tuple[list[int], Tensor]] = []
        self._events: list[torch.cuda.Event] = []
        groups: dict[torch.device, list[int]] = {}
        for i, value in enumerate(values):
            groups.setdefault(value.device, []).append(i)
        for device, indices in groups.items():
            stacked = torch.stack([values[i] for i in indices])
            self._parts.append((indices, self._send(stacked, device)))

    def _send(self, stacked: Tensor, device: torch.device) -> Tensor:
        if device.type != "cuda":
            return stacked.to("cpu").to(self._dtype)
        host = torch.empty(stacked.shape, dtype=self._dtype, pin_memory=True)
        host.copy_(stacked.to(self._dtype), non_blocking=True)
        event = torch.cuda.Event()
        event.record(torch.cuda.current_stream(device))
        self._events.append(event)
        return host

    def ready(self) -> bool:
        """Whether the numbers have arrived; never waits."""
        return all(event.query() for event in self._events)

    def values(self) -> Tensor:
        """The numbers [len(values)] on the CPU, in the order given; only once ready."""
        if len(self._parts) == 1:
            return self._parts[0][1]
        merged = torch.empty(self._size, dtype=self._dtype)
        for indices, part in self._parts:
            merged[indices] = part
        return merged


def capturing() -> bool:
    """Whether a CUDA graph is being captured: what we launched would be replayed for ever."""
    initialized: bool = torch.cuda.is_initialized()
    return initialized and torch.cuda.is_current_stream_capturing()
