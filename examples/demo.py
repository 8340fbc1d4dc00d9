"""Compile mobilenet_v2 from a small file, run it, and compare numbers and times with onnxruntime."""

import statistics
import time

import numpy as np
import onnxruntime

import ansorc
from ansorc.tools.networks.seeded import load_network, network_path

ROUNDS, RUNS = 5, 10


def milliseconds(run, rounds=ROUNDS):
    """Time one round of a function: two untimed calls after a pause, then RUNS timed ones."""
    time.sleep(0.3)  # the other engine's threads spin for a while after its last call
    run()
    run()
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        run()
        times.append(1e3 * (time.perf_counter() - start))
    return times


def main():
    """Print latency and the largest difference."""
    network = load_network(network_path("mobilenet_v2_b1"))
    start = time.perf_counter()
    model = ansorc.compile(network)
    print(f"compiled mobilenet_v2 in {time.perf_counter() - start:.1f} s")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = model.threads
    session = onnxruntime.InferenceSession(network.SerializeToString(), options)
    generator = np.random.default_rng(0)
    inputs = {t.name: generator.standard_normal(t.shape).astype(t.dtype) for t in model.inputs}
    ours, theirs = model.run(inputs), session.run(list(model.run(inputs)), inputs)
    errors = [abs(a - b).max() / abs(b).max() for a, b in zip(ours.values(), theirs, strict=True)]
    print(f"largest difference from onnxruntime: {max(errors):.1e} of the largest output")
    mine, peer = [], []
    for _ in range(ROUNDS):
        mine += milliseconds(lambda: model.run(inputs))
        peer += milliseconds(lambda: session.run(None, inputs))
    print(
        f"latency, {model.threads} threads, medians: ansorc {statistics.median(mine):.2f} ms, "
        f"onnxruntime {statistics.median(peer):.2f} ms"
    )


if __name__ == "__main__":
    main()
