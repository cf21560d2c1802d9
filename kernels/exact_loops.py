"""The exact byte LM's steps between products in fused loops for a CPU, the same bits as `exact_rows` defines.

Each loop is over rows, and what a row needs stays in a core's first cache. The loops are compiled without any
permission to reorder or contract floating-point operations, which is what makes them exact: LLVM fuses a multiply with
an add only where an instruction carries the flag `contract` or the target is set up for it, and here neither holds (the
generated code is searched for such instructions in the suite). Largest absolute values are found among the bits of
floats, as integers: these have the same order, and integers may be compared in any order.
"""

from __future__ import annotations

import numpy as np

from kernels.compiled import compiled
from kernels.exact_rows import (
    LEVELS,
    MAX_STEPS,
    ONE_LEVEL,
    SCORE_WEIGHT_BITS,
    SHARE_BITS,
    SMALLEST_ABSMAX,
)
from kernels.exact_tables import EXP2_BITS, SIGMOID_LIMIT, SIGMOID_STEPS, STEP_BITS, STEPS_PER_BIT
from kernels.window_coder import PRECISION_BITS

_LEVELS = np.float32(LEVELS)
_ONE_LEVEL = np.float32(ONE_LEVEL)
_SMALLEST_ABSMAX = np.float32(SMALLEST_ABSMAX)
_MAX_STEPS = np.float32(MAX_STEPS)
_SHARES = np.float32(1 << SHARE_BITS)
_ONE = np.float32(1)
_NO_SIGN = np.int32(0x7FFFFFFF)
_SIGMOID_STEPS = np.float32(SIGMOID_STEPS)
_SIGMOID_LIMIT = np.float32(SIGMOID_LIMIT * SIGMOID_STEPS)
_SIGMOID_ZERO = SIGMOID_LIMIT * SIGMOID_STEPS
_STEP_BITS, _STEP_MASK = np.int32(STEP_BITS), np.int32(STEPS_PER_BIT - 1)
_SCORE_SHIFT = np.int32(EXP2_BITS - SCORE_WEIGHT_BITS)


@compiled(error_model="numpy")
def _absmax(y, cell_bits, cell):
    """Largest absolute value of y, float32; cell_bits and cell are one number as int32 and as float32."""
    bits = y.view(np.int32)
    largest = np.int32(0)
    for i in range(bits.size):
        largest = max(largest, bits[i] & _NO_SIGN)
    cell_bits[0] = largest
    return max(cell[0], _SMALLEST_ABSMAX)


@compiled(error_model="numpy")
def _quantise(y, out, cell_bits, cell):
    """Levels of y, float32 [n], into out, int8 [n]; returns their scale."""
    absmax = _absmax(y, cell_bits, cell)
    inverse = _LEVELS / absmax
    for i in range(y.size):
        out[i] = np.int8(np.rint(y[i] * inverse))
    return absmax * _ONE_LEVEL


@compiled(error_model="numpy")
def _dot(left, right):
    """Sum of products, int32, of int8 [n]. The conversion keeps numba from summing in 64 bits."""
    total = np.int32(0)
    for i in range(left.size):
        total = np.int32(total + np.int32(left[i]) * np.int32(right[i]))
    return total


@compiled(error_model="numpy")
def _normalise(x, levels, cell_bits, cell):
    """Levels of a row into `levels`; returns the scale that makes their mean square 1."""
    _quantise(x, levels, cell_bits, cell)
    squares = max(_dot(levels, levels), np.int32(1))
    return np.sqrt(np.float32(x.size) / np.float32(squares))


@compiled(error_model="numpy")
def _scaled(sums, scale, factor, y):
    for i in range(y.size):
        y[i] = np.float32(sums[i]) * scale[i] * factor


@compiled(error_model="numpy")
def embed_rows(inputs, weight, scale, x, levels, row_scale):
    """x float32 [rows, dim] of inputs int64 [rows], and its normalised levels and scales."""
    cell_bits = np.empty(1, np.int32)
    cell = cell_bits.view(np.float32)
    for row in range(inputs.size):
        byte = inputs[row]
        x_row, weight_row, factor = x[row], weight[byte], scale[byte]
        for i in range(x_row.size):
            x_row[i] = np.float32(weight_row[i]) * factor
        row_scale[row] = _normalise(x_row, levels[row], cell_bits, cell)


@compiled(error_model="numpy")
def add_rows(x, sums, scale, sums_row_scale, levels, row_scale):
    """Add scaled sums to x, in place; the new x's normalised levels and scales."""
    cell_bits = np.empty(1, np.int32)
    cell = cell_bits.view(np.float32)
    for row in range(x.shape[0]):
        x_row, sums_row, factor = x[row], sums[row], sums_row_scale[row]
        for i in range(x_row.size):
            x_row[i] += np.float32(sums_row[i]) * scale[i] * factor
        row_scale[row] = _normalise(x_row, levels[row], cell_bits, cell)


@compiled(error_model="numpy")
def _rotate(left, right, cos, sin):
    for i in range(left.size):
        a, b = left[i], right[i]
        left[i] = a * cos[i] - b * sin[i]
        right[i] = b * cos[i] + a * sin[i]


@compiled(error_model="numpy")
def project_rows(
    sums, scale, row_scale, positions, own, cos, sin, queries, query_scales, keys, key_scales, values, value_scales
):
    """Queries, and keys and values at the places `own`: levels int8 [rows or places, heads, head size], scales [rows or
    places, heads]."""
    _, heads, size = queries.shape
    half = size // 2
    y = np.empty((3, heads, size), np.float32)
    cell_bits = np.empty(1, np.int32)
    cell = cell_bits.view(np.float32)
    for row in range(sums.shape[0]):
        place = own[row]
        cos_row, sin_row = cos[positions[row]], sin[positions[row]]
        _scaled(sums[row], scale, row_scale[row], y.reshape(y.size))
        for head in range(heads):
            q, k, v = y[0, head], y[1, head], y[2, head]
            _rotate(q[:half], q[half:], cos_row, sin_row)
            _rotate(k[:half], k[half:], cos_row, sin_row)
            query_scales[row, head] = _quantise(q, queries[row, head], cell_bits, cell)
            key_scales[place, head] = _quantise(k, keys[place, head], cell_bits, cell)
            value_scales[place, head] = min(_quantise(v, values[place, head], cell_bits, cell), _ONE)


@compiled(error_model="numpy")
def _weights(steps, largest, exp2):
    """Scores to weights, in place; returns their sum, int32."""
    total = np.int32(0)
    for j in range(steps.size):
        below = np.int32(largest - steps[j])
        shift = min(np.int32((below >> _STEP_BITS) + _SCORE_SHIFT), np.int32(31))
        steps[j] = exp2[below & _STEP_MASK] >> shift
        total = np.int32(total + steps[j])
    return total


@compiled(error_model="numpy")
def _add_multiple(sums, factor, values):
    for i in range(sums.size):
        sums[i] += factor * np.int32(values[i])


@compiled(error_model="numpy")
def _attend_head(query, query_scale, keys, key_scales, values, value_scales, seen, head, exp2, steps, sums, out):
    largest = np.int32(-(1 << 30))
    for j in range(seen.size):
        place = seen[j]
        score = np.float32(_dot(query, keys[place, head])) * (query_scale * key_scales[place, head])
        steps[j] = np.int32(np.rint(min(max(score, -_MAX_STEPS), _MAX_STEPS)))
        largest = max(largest, steps[j])
    unit = _SHARES / np.float32(_weights(steps, largest, exp2))
    sums[:] = 0
    for j in range(seen.size):
        place = seen[j]
        share = np.int32(np.rint(np.float32(steps[j]) * value_scales[place, head] * unit))
        if share:
            _add_multiple(sums, share, values[place, head])
    for i in range(out.size):
        out[i] = np.float32(sums[i])


@compiled(error_model="numpy")
def attend_rows(
    queries, query_scales, keys, key_scales, values, value_scales, places, first, count, most, exp2, levels, row_scale
):
    """What each row attends to, quantised: levels int8 [rows, dim], row_scale float32 [rows]. The others as above."""
    _, heads, size = queries.shape
    steps, sums = np.empty(most, np.int32), np.empty(size, np.int32)
    attended = np.empty((heads, size), np.float32)
    cell_bits = np.empty(1, np.int32)
    cell = cell_bits.view(np.float32)
    for row in range(queries.shape[0]):
        seen = places[first[row] : first[row] + count[row]]
        for head in range(heads):
            _attend_head(
                queries[row, head],
                query_scales[row, head],
                keys,
                key_scales,
                values,
                value_scales,
                seen,
                head,
                exp2,
                steps[: seen.size],
                sums,
                attended[head],
            )
        row_scale[row] = _quantise(attended.reshape(heads * size), levels[row], cell_bits, cell)


@compiled(error_model="numpy")
def _silu_times(gate, up, sigmoid):
    """SiLU of the gate times up, in place of the gate; float32 [n]."""
    for i in range(gate.size):
        argument = min(max(gate[i] * _SIGMOID_STEPS, -_SIGMOID_LIMIT), _SIGMOID_LIMIT)
        gate[i] = gate[i] * sigmoid[np.int32(np.rint(argument)) + _SIGMOID_ZERO] * up[i]


@compiled(error_model="numpy")
def gate_rows(sums, scale, row_scale, sigmoid, levels, out_scale):
    """SiLU of the gates times the ups, quantised: levels int8 [rows, ffn_dim], scales float32 [rows]."""
    half = levels.shape[1]
    y = np.empty(2 * half, np.float32)
    cell_bits = np.empty(1, np.int32)
    cell = cell_bits.view(np.float32)
    for row in range(sums.shape[0]):
        _scaled(sums[row], scale, row_scale[row], y)
        _silu_times(y[:half], y[half:], sigmoid)
        out_scale[row] = _quantise(y[:half], levels[row], cell_bits, cell)


@compiled(error_model="numpy")
def _to_steps(sums, scale, factor, out):
    for i in range(out.size):
        logit = np.float32(sums[i]) * scale[i] * factor
        out[i] = np.int32(np.rint(min(max(logit, -_MAX_STEPS), _MAX_STEPS)))


@compiled(error_model="numpy")
def outputs_rows(sums, scale, row_scale, out):
    """Outputs int32 [rows, 256]."""
    for row in range(sums.shape[0]):
        _to_steps(sums[row], scale, row_scale[row], out[row])


@compiled(error_model="numpy")
def _byte_weights(outputs, exp2, weights):
    """Weights int64 [256] of outputs int32 [256]; returns the smallest byte of the largest output, and their sum."""
    likeliest = 0
    for byte in range(1, outputs.size):
        if outputs[byte] > outputs[likeliest]:
            likeliest = byte
    largest = outputs[likeliest]
    total = np.int64(0)
    for byte in range(outputs.size):
        below = np.int32(largest - outputs[byte])
        weight = np.int64(exp2[below & _STEP_MASK] >> min(below >> _STEP_BITS, np.int32(31)))
        weights[byte] = weight
        total += weight
    return likeliest, total


@compiled(error_model="numpy")
def _frequencies(outputs, exp2, least, weights, out):
    """Cumulative frequencies int32 [257] of one row.

    Division in float64 is exact enough: a dividend is below 2^40 and a divisor at most 2^32, so a quotient that is no
    integer is at least 2^-32 away from one, further than the rounding of a number below 2^16 reaches.
    """
    likeliest, total = _byte_weights(outputs, exp2, weights)
    shared, divisor = np.float64((1 << PRECISION_BITS) - 256 * least), np.float64(total)
    missing = np.int64(1 << PRECISION_BITS)
    for byte in range(outputs.size):
        weights[byte] = least + np.int64(np.float64(weights[byte]) * shared / divisor)
        missing -= weights[byte]
    weights[likeliest] += missing
    at = np.int64(0)
    out[0] = 0
    for byte in range(outputs.size):
        at += weights[byte]
        out[byte + 1] = at


@compiled(error_model="numpy")
def cumulative_rows(outputs, exp2, least, out):
    """Cumulative frequencies int32 [rows, 257]; no frequency is below `least`."""
    weights = np.empty(outputs.shape[1], np.int64)
    for row in range(outputs.shape[0]):
        _frequencies(outputs[row], exp2, least, weights, out[row])


LOOPS = (embed_rows, add_rows, project_rows, attend_rows, gate_rows, outputs_rows, cumulative_rows)
"""What is compiled, for the test that searches the compiled code."""
