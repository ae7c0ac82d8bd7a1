#!/usr/bin/env python3
"""Writes megatron_order.json: how Megatron orders samples of indexed data, computed with numpy by the rules as they are written down (not by our code).

usage: make_megatron_order.py > megatron_order.json      needs numpy
"""
import json
import math

import numpy


def split_bounds(weights, sequences):
    """Cumulative shares of the sequences, rounded half to even (Python's round)."""
    total, cumulative, bounds = sum(weights), 0.0, [0]
    for weight in weights:
        cumulative += weight / total
        bounds.append(int(round(cumulative * float(sequences))))
    return bounds


def order(lengths, first, last, seq_length, wanted, seed):
    tokens = int(sum(lengths[first:last]))
    epochs = 1
    if wanted is not None:
        while epochs * tokens < wanted * seq_length + 1:
            epochs += 1
    samples = (epochs * tokens - 1) // seq_length
    separate, before = False, 0
    if epochs > 1:
        before = ((epochs - 1) * tokens - 1) // seq_length
        separate = wanted - before < int(0.80 * ((tokens - 1) // seq_length))
    rng = numpy.random.RandomState(seed)
    ids = numpy.arange(first, last, dtype=numpy.int32)
    if separate:
        head, tail = numpy.tile(ids, epochs - 1), ids.copy()
        rng.shuffle(head)
        rng.shuffle(tail)
        documents = numpy.concatenate([head, tail])
    else:
        documents = numpy.tile(ids, epochs)
        rng.shuffle(documents)
    # The stream of all tokens is cut every seq_length tokens: the sample boundaries, found without walking.
    ends = numpy.cumsum([lengths[d] for d in documents])
    boundaries = []
    for i in range(samples + 1):
        document = int(numpy.searchsorted(ends, i * seq_length, side="right"))
        boundaries.append([document, int(i * seq_length - (ends[document - 1] if document else 0))])
    if separate:
        head, tail = numpy.arange(before, dtype=numpy.uint32), numpy.arange(before, samples, dtype=numpy.uint32)
        rng.shuffle(head)
        rng.shuffle(tail)
        shuffle = numpy.concatenate([head, tail])
    else:
        shuffle = numpy.arange(samples, dtype=numpy.uint32)
        rng.shuffle(shuffle)
    # What a sample holds, token by token: token t of sequence s is called 1000 s + t.
    stream = [1000 * int(d) + t for d in documents for t in range(lengths[d])]
    content = [stream[int(n) * seq_length:int(n) * seq_length + seq_length + 1] for n in shuffle]
    return {"epochs": epochs, "samples": samples, "separate": separate, "documents": documents.tolist(), "boundaries": boundaries,
            "shuffle": shuffle.tolist(), "content": content}


def blend(weights, samples):
    """Of each sample the dataset that is furthest behind its share; of equals the first."""
    w = numpy.array(weights, dtype=numpy.float64)
    w = w / w.sum()
    used, chosen = [0] * len(w), []
    for i in range(samples):
        errors = [w[d] * max(float(i), 1.0) - used[d] for d in range(len(w))]
        d = max(range(len(w)), key=lambda k: (errors[k], -k))
        chosen.append([d, used[d]])
        used[d] += 1
    return chosen


def main():
    lengths = [7, 1, 12, 3, 30, 5, 0, 9, 2, 16, 4, 11, 8, 6, 25, 1, 1, 13, 10, 20]
    cases = []
    for split, seq_length, wanted, seed in [([969, 30, 1], 8, [100, None, 0], 1234), ([8, 1, 1], 4, [None, 3, 20], 0), ([1, 0, 0], 16, [33, 0, 0], 42),
                                            ([5, 4, 1], 5, [40, 200, 2], 7), ([1, 1, 1], 3, [57, 31, 60], 4294967295)]:
        bounds = split_bounds(split, len(lengths))
        cases.append({"split": split, "seq_length": seq_length, "wanted": wanted, "seed": seed, "bounds": bounds, "splits": [
            order(lengths, bounds[i], bounds[i + 1], seq_length, wanted[i], seed)
            if wanted[i] != 0 and sum(lengths[bounds[i]:bounds[i + 1]]) > (0 if wanted[i] else seq_length) else None for i in range(3)]})
    rounding = [{"split": s, "sequences": n, "bounds": split_bounds(s, n)} for s in ([969, 30, 1], [1, 1, 0], [98, 1, 1], [0.7, 0.2, 0.1])
                for n in (1, 2, 5, 7, 15, 1001, 123457)]
    blends = [{"weights": w, "samples": n, "chosen": blend(w, n)} for w, n in [([1], 5), ([0.5, 0.5], 12), ([3, 7], 40), ([0.2, 0.3, 0.5], 50), ([1, 1, 1, 97], 120)]]
    shares = [{"weight": w, "samples": n, "share": math.ceil(n * w), "surplus": math.ceil(math.ceil(n * w) * 1.005)} for w in (0.3, 0.7, 1 / 3) for n in (1, 10, 1000, 99999)]
    print(json.dumps({"lengths": lengths, "cases": cases, "rounding": rounding, "blends": blends, "shares": shares}))


main()
