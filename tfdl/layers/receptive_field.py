"""How many pixels of the picture can a value of a feature map see, and which?

A position sees a run of pixels along each axis. The run of the first position and the
distance from run to run say all as long as layers only gather and skip positions; after
an upsampling the positions differ, in a pattern that repeats, and so `Axis` holds one
run for each position of the pattern.
"""

import dataclasses
import math
from collections.abc import Sequence

import keras

from tfdl.layers import graph

# Pixels to either side that an interpolation weighs, where it is not the nearest.
_REACH = {"bilinear": 1, "bicubic": 2, "lanczos3": 3, "lanczos5": 5}


@dataclasses.dataclass(frozen=True)
class Axis:
    """What the positions along one axis of a feature map see.

    Attributes:
        firsts: the first pixel that each position of the pattern sees, below 0 in the
            padding; one number where all positions see alike.
        lasts: the last pixel, likewise.
        advance: pixels from one repetition of the pattern to the next.
        is_placed: whether the offset is known; it is not where Keras's "same" padding
            of a strided layer depends on a size that is not known.
    """

    firsts: tuple[float, ...]
    lasts: tuple[float, ...]
    advance: float
    is_placed: bool = True

    @property
    def size(self) -> float:
        """Pixels that a position sees, the most where they differ."""
        runs = zip(self.firsts, self.lasts, strict=True)
        return max(last - first + 1 for first, last in runs)

    @property
    def stride(self) -> float:
        """Pixels between neighbouring positions."""
        return self.advance / len(self.firsts)

    @property
    def padding(self) -> float | None:
        """Pixels before the picture that the first position sees; None if unknown."""
        return -self.firsts[0] if self.is_placed else None

    def span(self, position: int) -> tuple[float, float]:
        """Return the first and the last pixel that a position sees."""
        cycle, place = divmod(position, len(self.firsts))
        shift = cycle * self.advance if cycle else 0
        return self.firsts[place] + shift, self.lasts[place] + shift


@dataclasses.dataclass(frozen=True)
class ReceptiveField:
    """What the positions of a layer's output see of the picture.

    Attributes:
        layer: name of the layer.
        rows: what they see along the picture's height.
        columns: what they see along its width.
        output_size: height and width of the output, None where unknown; (1, 1) where
            it is no map.
        has_global_path: whether the whole picture is seen as well, through a pooling
            over all positions that a local path is joined with: the gate of a
            squeeze-and-excitation, the image-level branch of DeepLab. What is reported
            is the local path.
    """

    layer: str
    rows: Axis
    columns: Axis
    output_size: tuple[int | None, int | None]
    has_global_path: bool = False

    @property
    def size(self) -> tuple[float, float]:
        """Height and width of the field in pixels; `math.inf` is the whole picture."""
        return self.rows.size, self.columns.size

    @property
    def stride(self) -> tuple[float, float]:
        """Pixels between the fields of neighbouring positions, downwards and across."""
        return self.rows.stride, self.columns.stride

    @property
    def padding(self) -> tuple[float | None, float | None]:
        """Pixels that the first field begins above and left of the picture."""
        return self.rows.padding, self.columns.padding

    @property
    def is_whole(self) -> bool:
        """Whether every value sees the whole picture."""
        return _is_whole(self.rows) and _is_whole(self.columns)


_PIXEL = Axis((0,), (0,), 1)
_WHOLE = Axis((-math.inf,), (math.inf,), math.inf)


@dataclasses.dataclass(frozen=True)
class _Taps:
    """Which positions of its input a layer reads along one axis.

    Attributes:
        windows: for each output of the layer's pattern, the positions it reads.
        advance: positions from one repetition of the pattern to the next.
        is_placed: whether the windows' offset is known.
    """

    windows: Sequence[Sequence[int]]
    advance: float
    is_placed: bool = True


def walk(model: keras.Model) -> list[ReceptiveField]:
    """Follow the receptive field through a functional model.

    Where branches join, a position sees the union of what they see: from the first to
    the last pixel of all. Layers of a model within the model are followed as well.

    A layer is known by its attributes: one with `kernel_size` or `pool_size`, and
    `strides`, `padding` and `dilation_rate` where there are any, reads windows. Without
    `strides` their distance is the ratio of the sizes; where that is a fraction, as in
    fractional pooling, the fields are those on average. A layer that leaves neither
    rows nor columns sees the whole picture, any other that changes their number
    resamples, and one that does not is pointwise: activations, dense layers, and
    normalisations, whose statistics of the picture are not counted. Whole numbers see
    nothing, as no gradient comes through them.

    Args:
        model: a functional model of pictures, float (batch, height, width, channels).

    Returns:
        One entry for each call of a layer that sees something, in the order of
        computation.

    Reference:
        Araujo et al., "Computing Receptive Fields of Convolutional Neural Networks",
        Distill, 2019, "Single-path networks" and "Arbitrary computation graphs".
    """
    return _walk(model)[0]


def of_outputs(model: keras.Model) -> dict[str, ReceptiveField]:
    """Return the fields of a model of named feature maps.

    Args:
        model: a functional model that returns a dict, as backbones without classes do.

    Returns:
        {"c1": field, ...}, in the order of the model's outputs.
    """
    fields = _walk(model)[1]
    return {name: fields[id(tensor)] for name, tensor in model.output.items()}


def of_last_map(model: keras.Model) -> ReceptiveField:
    """Return the field of the last layer whose output still is a map of positions."""
    return [field for field in walk(model) if not field.is_whole][-1]


def _walk(model):
    """Return the entries, and the field of each tensor by its id."""
    fields = {
        id(tensor): ReceptiveField("", _PIXEL, _PIXEL, tensor.shape[1:3])
        for tensor in model.inputs
        if len(tensor.shape) == 4
    }
    walked = []
    for call in graph.calls(model):
        sources = [fields[id(t)] for t in call.inputs if id(t) in fields]
        is_choice = keras.backend.is_int_dtype(call.outputs[0].dtype)
        if is_choice or not sources:  # without sources: computed from boxes, say
            continue
        field = _after(call, sources)
        fields |= dict.fromkeys(map(id, call.outputs), field)
        if not call.is_passage:
            walked.append(field)
    return walked, fields


def _after(call: graph.Call, sources: list[ReceptiveField]) -> ReceptiveField:
    """Join what a layer's inputs see, and widen it by what the layer reads."""
    shape = call.outputs[0].shape
    size = tuple(shape[1:3]) if len(shape) > 3 else None
    is_joined = len({source.is_whole for source in sources}) > 1
    local = [source for source in sources if not (is_joined and source.is_whole)]
    rows, columns = (
        _read(
            _union([getattr(source, name) for source in local]),
            _taps(call.layer, axis, local[0].output_size, size),
        )
        for axis, name in enumerate(("rows", "columns"))
    )
    has_global_path = is_joined or any(source.has_global_path for source in local)
    return ReceptiveField(
        call.layer.name, rows, columns, size or (1, 1), has_global_path
    )


def _is_whole(axis):
    return not math.isfinite(axis.advance)


def _union(axes: list[Axis]) -> Axis:
    """See what any of some branches sees; the widest stride counts."""
    if len(axes) == 1 or any(_is_whole(axis) for axis in axes):
        return max(axes, key=lambda axis: axis.advance)
    period = math.lcm(*(len(axis.firsts) for axis in axes))
    spans = [[axis.span(place) for axis in axes] for place in range(period)]
    return Axis(
        tuple(min(first for first, _ in seen) for seen in spans),
        tuple(max(last for _, last in seen) for seen in spans),
        max(axis.stride for axis in axes) * period,
        all(axis.is_placed for axis in axes),
    )


def _read(axis: Axis, taps: _Taps | None) -> Axis:
    """See what is read of what is seen; None reads everything."""
    if taps is None or _is_whole(axis):
        return _WHOLE
    period, repeats = len(axis.firsts), 1
    if isinstance(taps.advance, int):
        repeats = period // math.gcd(period, taps.advance)
    spans = [
        [axis.span(int(cycle * taps.advance) + position) for position in window]
        for cycle in range(repeats)
        for window in taps.windows
    ]
    return Axis(  # a position that reads nothing sees a run that ends before it begins
        tuple(min((first for first, _ in seen), default=math.inf) for seen in spans),
        tuple(max((last for _, last in seen), default=-math.inf) for seen in spans),
        axis.advance * repeats * taps.advance / period,
        axis.is_placed and taps.is_placed,
    )


def _taps(layer, axis: int, size_before, size_after) -> _Taps | None:
    """Say which positions a layer reads along an axis (0 rows, 1 columns)."""
    if size_after is None:
        return None
    before, after = size_before[axis], size_after[axis]
    if isinstance(layer, keras.layers.Conv2DTranspose):
        return _transposed(layer, axis, after)
    if isinstance(layer, keras.layers.UpSampling2D):
        return _upsampled(layer.size[axis], _REACH.get(layer.interpolation))
    if isinstance(layer, keras.layers.ZeroPadding2D):
        return _Taps([[-layer.padding[axis][0]]], 1)
    if isinstance(layer, keras.layers.Cropping2D):
        return _Taps([[layer.cropping[axis][0]]], 1)
    if hasattr(layer, "pad_width"):  # keras.ops.pad, which pads batch and channels too
        return _Taps([[-layer.pad_width[1 + axis][0]]], 1)
    ratio = _ratio(before, after)
    window = getattr(layer, "kernel_size", getattr(layer, "pool_size", ()))
    stride = layer.strides[axis] if hasattr(layer, "strides") else ratio
    if len(window) == 2 and stride is not None:
        return _window(layer, axis, window[axis], stride, before)
    if size_before == size_after:
        return _Taps([[0]], 1)
    if size_after == (1, 1) or ratio is None:
        return None
    return _Taps([[0]], ratio)


def _ratio(before, after):
    """Divide sizes, to a whole number where that is exact; None if one is unknown."""
    if before is None or after is None:
        return None
    return before / after if before % after else before // after


def _window(layer, axis, size, stride, size_before):
    dilation = getattr(layer, "dilation_rate", (1, 1))[axis]
    extent, is_placed, start = 1 + (size - 1) * dilation, True, 0
    if getattr(layer, "padding", "valid") == "same":
        start = -_same_padding(extent, stride, size_before)
        is_placed = stride == 1 or size_before is not None
    window = range(start, start + extent, dilation)
    return _Taps([window], stride, is_placed)


def _same_padding(extent, stride, size):
    """Count the positions that Keras's "same" pads before the first one."""
    rest = 0 if size is None else size % stride
    return max(extent - (rest or stride), 0) // 2


def _transposed(layer, axis, size_after):
    """Gather from the positions whose windows, laid over the output, cover a place."""
    stride, dilation = layer.strides[axis], layer.dilation_rate[axis]
    size, start = layer.kernel_size[axis], 0
    if layer.padding == "same":
        start = _same_padding(1 + (size - 1) * dilation, stride, size_after)
    offsets = [start - tap * dilation for tap in range(size)]
    windows = [
        [
            (place + offset) // stride
            for offset in offsets
            if (place + offset) % stride == 0
        ]
        for place in range(stride)
    ]
    return _Taps(windows, 1)


def _upsampled(factor, reach):
    if reach is None:
        return _Taps([[0]] * factor, 1)
    centres = [(place + 0.5) / factor - 0.5 for place in range(factor)]
    windows = [
        range(math.floor(centre) - reach + 1, math.ceil(centre) + reach)
        for centre in centres
    ]
    return _Taps(windows, 1)
