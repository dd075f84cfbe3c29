# Both ends of Python's multiprocessing.Queue, started by pair.ts: `python3 python_queue.py SPEC`. Twin of queue-ends.ts and of the
# classes Usage and Windows in meter.ts.
import json
import multiprocessing
import os
import resource
import struct
import sys
import time

MEASURE = -1
STOP = -2


class Usage:
    def start(self):
        self.begin = self.end = resource.getrusage(resource.RUSAGE_SELF)

    def stop(self):
        self.end = resource.getrusage(resource.RUSAGE_SELF)

    def report(self, messages):
        a, b = self.begin, self.end
        cpu = b.ru_utime + b.ru_stime - a.ru_utime - a.ru_stime
        return {"cpuUs": round(cpu * 1e6), "switches": b.ru_nvcsw - a.ru_nvcsw, "messages": messages}


def item_of(number):
    return {"id": number, "name": f"user-{number & 1023}", "ok": number & 1 == 0, "ts": number * 0.5}


def id_of(item):
    number = item["id"]
    if item != item_of(number):
        raise ValueError(f"object {number} arrived as something else")
    return number


def put_all(queue, reports, spec):
    sequence = 0

    def put_for(ms):
        nonlocal sequence
        end = time.monotonic() + ms / 1e3
        while time.monotonic() < end:
            for _ in range(64):
                queue.put(item_of(sequence))
                sequence += 1

    usage = Usage()
    put_for(spec["warmupMs"])
    queue.put(item_of(MEASURE))
    usage.start()
    put_for(spec["measureMs"])
    usage.stop()
    queue.put(item_of(STOP))
    reports.send(usage.report(sequence))


def main():
    spec = json.loads(sys.argv[1])
    queue = multiprocessing.Queue(1024)  # As many as ours has by default.
    receiving, sending = multiprocessing.Pipe(False)
    producer = multiprocessing.Process(target=put_all, args=(queue, sending, spec))
    producer.start()
    usage = Usage()
    samples = []
    messages = window_from = 0
    per_window = float("inf")
    start = window_start = time.monotonic_ns()
    while True:
        number = id_of(queue.get())
        if number >= 0:
            messages += 1
            if messages - window_from >= per_window and len(samples) < spec["maxSamples"]:
                at = time.monotonic_ns()
                samples.append(round((at - window_start) * 1e3 / (messages - window_from)))
                window_start, window_from = at, messages
        elif number == MEASURE:
            at = time.monotonic_ns()
            per_window = max(1, int(messages / max(1, (at - start) / 1e6) * spec["windowMs"]))
            messages = window_from = 0
            window_start = at
            usage.start()
        else:
            break
    usage.stop()
    if not samples and messages > 0:
        samples.append(round((time.monotonic_ns() - window_start) * 1e3 / messages))
    report = usage.report(messages)
    report["peer"] = receiving.recv()
    producer.join()
    os.write(3, struct.pack(f"<{len(samples)}I", *samples))
    print(json.dumps(report))


main()
