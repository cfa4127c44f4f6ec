"""What order training takes data in, written again from the documentation of
include/lathe/Train/Permutation.h and Loader.h: an independent check of them,
and batches for frameworks that are to train alongside."""

import numpy as np

MASK = (1 << 64) - 1


def mix(key, counter):
    z = (key + (counter + 1) * 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


class Permutation:
    def __init__(self, size, key):
        self.size, self.half = size, 1
        while (1 << (2 * self.half)) < size:
            self.half += 1
        self.keys = [mix(key, round) for round in range(6)]

    def __call__(self, index):
        ones = (1 << self.half) - 1
        while True:
            left, right = index >> self.half, index & ones
            for key in self.keys:
                left, right = right, left ^ (mix(key, right) & ones)
            index = left << self.half | right
            if index < self.size:
                return index


def batches(examples, batch, seed, total=None, held_out=0):
    """Endless: the numbers of the examples of one batch after the other. `total`
    examples in all, `held_out` of them by lot, where there is a validation part."""
    split = Permutation(total or examples, mix(seed, 1))
    epoch = 0
    while True:
        order = Permutation(examples, mix(mix(seed, 2), epoch))
        for start in range(0, examples // batch * batch, batch):
            rows = [order(i) for i in range(start, start + batch)]
            yield np.array([split(row) for row in rows] if held_out else rows)
        epoch += 1
