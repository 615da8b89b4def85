#!/usr/bin/env python3
"""Simulates the prediction of thousands of plates on a cluster: hours, files, metadata, failures, price.

    simulate.py                                   10,000 plates of 384 wells x 9 fields on 100 nodes, a task each
    simulate.py --plates 100 --shards 4 --encoder mobilenet-v2 --metadata 12000
    simulate.py --tables                          all tables of docs/scale.md
    simulate.py --check                           cases whose result can be told on paper

Work is shared as the program shares it: shard I of N takes every N-th field of a plate (or, with
`--layout one`, of all plates at once), lists its whole input first, then does its fields, which are
independent and stay done when it is killed. A shard is one event at its start and one at its end; between
them all running shards advance together at the speed that the shared storage allows. The same options and
seed give the same result. Inputs are in `MEASURED` (with what they were measured by in docs/scale.md) and
in the options, whose defaults are assumptions unless said otherwise.
"""

import argparse
import dataclasses
import heapq
import math
import random
import sys
from collections import deque

HOUR = 3600.0

# Seconds a field of 2160 x 2160 by the network on 2 cores, and the size of the weights in bytes.
# docs/performance.md; weights of VGG16 are its 24 million parameters in f32, those of MobileNetV2 a file's size.
ENCODERS = {
    "vgg16": (2.827, 96e6),
    "vgg16-bf16": (2.030, 96e6),
    "vgg16-avx2": (8.822, 96e6),
    "mobilenet-v2": (0.679, 27e6),
}


@dataclasses.dataclass(frozen=True)
class Measured:
    """What was measured of the program; docs/scale.md says how."""

    handling_s: float = 0.29  # reading, nuclei and writing beside the network, a field, on 2 cores
    list_s: float = 0.00027  # to list one field of the input, without what the storage takes
    list_ops: int = 8  # metadata operations to list one plane of one field
    list_ops_once: int = 5  # the same where the client remembers what it has looked for
    read_ops: int = 4  # to read a plane
    write_ops: int = 90  # to write a field as TIFF and CSV
    write_ops_once: int = 67
    zarr_ops: int = 681  # more with `--to ome-zarr`: 771 in all
    zarr_ops_once: int = 652
    table_ops: int = 37  # to save the table of a shard
    table_every_s: float = 5.0  # at most this often
    shard_ops: int = 2450  # what a shard asks besides
    merge_ops: float = 24.2  # a field
    status_ops: float = 12.0
    merge_s: float = 17 / 100_000  # a field on a local disk (docs/clusters.md)
    status_s: float = 8 / 100_000
    plane_bytes: int = 9_333_249
    row_bytes: int = 750  # of the table of a shard, a field
    list_memory: int = 900  # bytes of memory for each field of the input
    lease_s: float = 180.0  # a killed shard, given again, waits so long (docs/clusters.md)


MEASURED = Measured()

# Bytes and files a field of 2160 x 2160 (about 727 nuclei), mean of four simulated fields.
FORMS = {
    "classes (TIFF)": (147_916, 1),
    "nuclei (TIFF)": (127_769, 1),
    "cells (TIFF)": (187_417, 1),
    "confidence (CSV)": (22_261, 1),
}
ZARR = (33_156_965, 111)  # `--to ome-zarr`, three planes: the image once more, and labels as its pyramid


@dataclasses.dataclass
class Setup:
    """What is simulated; every figure that is not the size of the work is an assumption."""

    plates: int = 10_000
    fields: int = 384 * 9
    planes: int = 1
    nodes: int = 100
    slots: int = 16  # processes a node, of 2 threads each
    encoder: str = "vgg16"
    shards: int = 1  # of a plate; of everything with layout `one`
    layout: str = "plates"
    zarr: bool = False
    local: bool = False  # results on the node's own disk, one archive a plate on the share; with 1 shard a plate
    save_every_s: float = MEASURED.table_every_s  # how often the table of a shard is saved
    spared_ops: int = 0  # operations a field that the program would not ask for
    crowding: float = 1.25  # how much longer a field takes with all slots of a node busy
    speed_sigma: float = 0.08  # speeds of nodes are lognormal with this deviation
    slow_share: float = 0.02  # of nodes, which have half the speed
    field_cv: float = 0.3  # fields differ by so much
    failures: float = 1 / 2000  # of a node, an hour
    repair_s: float = 4 * HOUR
    requeue_s: float = 60.0
    limit_s: float = 0.0  # time limit of a task; 0: none
    resubmit_s: float = 0.5 * HOUR  # until somebody gives again what a limit has ended
    dispatch_s: float = 5.0  # of the scheduler
    latency_s: float = 0.0005  # of one metadata operation, which a shard does one after the other
    bandwidth: float = 10e9  # bytes a second of the shared storage
    metadata: float = 29_000.0  # operations a second of the shared storage
    cached: bool = True  # whether clients remember paths that they have looked for
    merges: bool = True
    price: float = 0.04  # a core-hour
    seed: int = 1

    def ops(self, name):
        """A count of operations, as many as reach the server."""
        return getattr(MEASURED, name + ("_once" if self.cached else ""))


@dataclasses.dataclass
class Work:
    """A shard, or the joining of a plate (`fields` is 0)."""

    plate: int
    fields: float
    noise: float
    left: float
    waits: float = 0.0  # for the lease of a process that was killed
    asks: int = 0  # generation: events of earlier tries are void


def shard_sizes(fields, count):
    """How many fields each shard has: every count-th of the sorted list."""
    return [len(range(first, fields, count)) for first in range(count)]


class Cluster:
    """The state of a run; time passes between events at the speed that the storage allows."""

    def __init__(self, setup, speeds=None, breaks=None):
        self.setup = setup
        self.random = random.Random(setup.seed)
        self.speeds = speeds or self.draw_speeds()
        self.now = self.virtual = 0.0
        self.ends, self.clock = [], []  # heaps of events in virtual and in real time
        self.count = 0
        self.running = {}  # id of the work: [work, node, phase, began, ends, bytes/s, operations/s, real time]
        self.asked_bytes = self.asked_ops = 0.0
        self.busy = self.computed = self.listed = self.waited = 0.0  # seconds of slots
        self.peak_ops = self.peak_bytes = self.ops = self.bytes = 0.0
        self.kills = self.limits = self.merged = 0
        self.done = 0.0
        self.open_shards = {}
        self.up = [True] * setup.nodes
        self.free = [node for _ in range(setup.slots) for node in range(setup.nodes)]
        self.queue = deque(self.make_work())
        self.left = len(self.queue)
        self.draw_breaks(breaks)

    def draw_speeds(self):
        """One speed a node: lognormal, a few of them slow."""
        sigma, slow = self.setup.speed_sigma, self.setup.slow_share
        draw = self.random
        return [math.exp(draw.gauss(0, sigma)) * (0.5 if draw.random() < slow else 1) for _ in range(self.setup.nodes)]

    def make_work(self):
        """All shards in the order in which they are submitted."""
        setup = self.setup
        plates, fields = (1, setup.plates * setup.fields) if setup.layout == "one" else (setup.plates, setup.fields)
        sizes = [size for size in shard_sizes(fields, setup.shards) if size]
        for plate in range(plates):
            self.open_shards[plate] = len(sizes)
            for size in sizes:
                noise = max(0.5, 1 + setup.field_cv / math.sqrt(size) * self.random.gauss(0, 1))
                yield Work(plate, size, noise, size)

    def draw_breaks(self, breaks):
        """The first failure of each node, or those of a test."""
        if breaks is not None:
            for time, node in breaks:
                self.at(time, "break", node)
        elif self.setup.failures:
            for node in range(self.setup.nodes):
                self.next_break(node)

    def next_break(self, node):
        """When a node fails next."""
        if self.setup.failures:
            self.at(self.now + self.random.expovariate(self.setup.failures / HOUR), "break", node)

    def at(self, time, kind, what):
        """Notes an event in real time."""
        self.count += 1
        heapq.heappush(self.clock, (time, self.count, kind, what))

    # What a work takes ---------------------------------------------------------------------------

    def listing(self):
        """Fields that a shard lists before it does its own."""
        one = self.setup.layout == "one"
        return self.setup.fields * (self.setup.plates if one else 1)

    def start_phase(self, work):
        """Seconds, bytes and operations until a shard's first field."""
        setup = self.setup
        fields = self.listing()
        ops = fields * setup.planes * setup.ops("list_ops") + MEASURED.shard_ops
        # A shard reads the tables of all shards of its folder; on average half of the rows are there.
        size = ENCODERS[setup.encoder][1] + fields * MEASURED.row_bytes / 2
        seconds = setup.dispatch_s + work.waits + fields * MEASURED.list_s + ops * setup.latency_s
        return seconds, size, ops

    def field_ops(self, seconds):
        """Metadata operations of a field that takes so long, the saving of the table among them."""
        setup = self.setup
        reads = setup.planes * MEASURED.read_ops
        if setup.local:
            return reads
        writes = setup.ops("write_ops") - setup.spared_ops + (setup.ops("zarr_ops") if setup.zarr else 0)
        return reads + writes + MEASURED.table_ops * min(1.0, seconds / setup.save_every_s)

    def field_phase(self, work, node):
        """Seconds, bytes and operations of the fields that are left, without waiting for shared storage."""
        setup = self.setup
        network = ENCODERS[setup.encoder][0] * setup.crowding * work.noise / self.speeds[node]
        local = network + MEASURED.handling_s * setup.crowding / self.speeds[node]
        ops = self.field_ops(local)
        seconds = local + ops * setup.latency_s
        size = setup.planes * MEASURED.plane_bytes + sum(form[0] for form in FORMS.values())
        size += ZARR[0] if setup.zarr else 0
        # The table is read and written whole, with half of the shard's rows on average.
        if not setup.local:
            size += min(1.0, seconds / setup.save_every_s) * work.fields * MEASURED.row_bytes
        return work.left * seconds, work.left * size, work.left * ops

    def merge_phase(self):
        """Seconds, bytes and operations to join a plate."""
        fields, setup = self.setup.fields, self.setup
        ops = fields * MEASURED.merge_ops
        return setup.dispatch_s + fields * MEASURED.merge_s + ops * setup.latency_s, fields * 4096.0, ops

    # Events --------------------------------------------------------------------------------------

    def speed(self):
        """How fast running shards advance: 1, or less where the storage is asked for too much."""
        speed = 1.0
        if self.asked_bytes > self.setup.bandwidth:
            speed = self.setup.bandwidth / self.asked_bytes
        if self.asked_ops > self.setup.metadata:
            speed = min(speed, self.setup.metadata / self.asked_ops)
        return speed

    def pass_time(self, until, speed):
        """Lets real time pass."""
        span = until - self.now
        self.busy += span * len(self.running)
        self.ops += span * speed * self.asked_ops
        self.bytes += span * speed * self.asked_bytes
        if span > 0:
            self.peak_ops = max(self.peak_ops, self.asked_ops)
            self.peak_bytes = max(self.peak_bytes, self.asked_bytes)
        self.now = until
        self.virtual += span * speed

    def begin(self, work, node, phase):
        """Begins a phase of a work on a node."""
        seconds, size, ops = {
            "start": lambda: self.start_phase(work),
            "fields": lambda: self.field_phase(work, node),
            "merge": self.merge_phase,
        }[phase]()
        seconds = max(seconds, 1e-9)
        self.count += 1
        ends = self.virtual + seconds
        self.running[id(work)] = [work, node, phase, self.virtual, ends, size / seconds, ops / seconds, self.now]
        self.asked_bytes += size / seconds
        self.asked_ops += ops / seconds
        heapq.heappush(self.ends, (ends, self.count, work.asks, work))

    def leave(self, work):
        """Takes a work off its node, with what it has asked the storage for."""
        state = self.running.pop(id(work))
        self.asked_bytes -= state[5]
        self.asked_ops -= state[6]
        if not self.running:
            self.asked_bytes = self.asked_ops = 0.0
        took = self.now - state[7]
        if state[2] == "start":
            self.listed += took
        elif state[2] == "fields":
            self.waited += took - (self.virtual - state[3])
        return state

    def assign(self):
        """Gives waiting work to free slots."""
        while self.queue and self.free:
            node = self.free.pop()
            if not self.up[node]:
                continue
            work = self.queue.popleft()
            if self.setup.limit_s and work.fields:
                self.at(self.now + self.setup.limit_s, "limit", (work, work.asks))
            self.begin(work, node, "start" if work.fields else "merge")

    def finish(self, work):
        """A phase has ended: the next one, or the next work."""
        _, node, phase, began, ends = self.leave(work)[:5]
        if phase == "start":
            self.begin(work, node, "fields")
            return
        self.free.append(node)
        self.left -= 1
        work.asks += 1
        if phase == "merge":
            self.merged += 1
            return
        self.computed += ends - began
        self.done += work.left
        self.open_shards[work.plate] -= 1
        if self.open_shards[work.plate] == 0 and self.has_merges():
            self.queue.appendleft(Work(work.plate, 0, 1, 0))
            self.left += 1

    def has_merges(self):
        """Whether plates are joined by a task of their own; one shard is given as a run without `--shard`."""
        return self.setup.merges and self.setup.layout == "plates" and self.setup.shards > 1

    def end(self, work, delay):
        """A work is killed; the fields that it has done stay done."""
        _, node, phase, began, ends = self.leave(work)[:5]
        work.asks += 1
        if phase == "fields":
            share = (self.virtual - began) / (ends - began)
            # A disk of the node's own is emptied when a task ends.
            whole = 0 if self.setup.local else math.floor(work.left * share)
            self.computed += (ends - began) * whole / work.left
            self.done += whole
            work.left -= whole
        work.waits = 0.0 if self.setup.local else MEASURED.lease_s
        self.at(self.now + delay, "again", work)
        return node

    def handle(self, kind, what):
        """An event in real time."""
        if kind == "again":
            self.queue.append(what)
        elif kind == "limit":
            work, asks = what
            if work.asks == asks and id(work) in self.running:
                self.limits += 1
                self.free.append(self.end(work, self.setup.resubmit_s))
        elif kind == "break":
            self.up[what] = False
            self.free = [node for node in self.free if node != what]
            for state in [state for state in self.running.values() if state[1] == what]:
                self.kills += 1
                self.end(state[0], self.setup.requeue_s)
            self.at(self.now + self.setup.repair_s, "repair", what)
        else:
            self.up[what] = True
            self.free.extend([what] * self.setup.slots)
            self.next_break(what)

    def run(self):
        """Until all work is done."""
        while self.left:
            self.assign()
            while self.ends and self.ends[0][2] != self.ends[0][3].asks:
                heapq.heappop(self.ends)
            speed = self.speed()
            ends = self.now + (self.ends[0][0] - self.virtual) / speed if self.ends else math.inf
            if self.clock and self.clock[0][0] < ends:
                time, _, kind, what = heapq.heappop(self.clock)
                self.pass_time(max(time, self.now), speed)
                self.handle(kind, what)
            elif self.ends:
                work = heapq.heappop(self.ends)[3]
                self.pass_time(max(ends, self.now), speed)
                self.finish(work)
            else:
                raise RuntimeError("work is left and nothing will happen")
        return self


def summary(setup, **inside):
    """The figures of a run."""
    run = Cluster(setup, **inside).run()
    slots = setup.nodes * setup.slots
    hours = run.now / HOUR
    cores = 2
    return {
        "hours": hours,
        "node_hours": hours * setup.nodes,
        "used": run.computed / (run.now * slots),
        "listing": run.listed / (run.now * slots),
        "waiting": run.waited / (run.now * slots),
        "idle": 1 - run.busy / (run.now * slots),
        "peak_ops": run.peak_ops,
        "mean_ops": run.ops / run.now,
        "mean_bytes": run.bytes / run.now,
        "peak_bytes": run.peak_bytes,
        "kills": run.kills,
        "limits": run.limits,
        "price": run.busy / HOUR * cores * setup.price / setup.plates,
        "done": run.done,
        "merged": run.merged,
        "ops": run.ops,
        "bytes": run.bytes,
    }


def storage(setup):
    """Rows of form, bytes and files of all plates."""
    fields = setup.plates * setup.fields
    tables = setup.plates * (setup.shards + 1)
    rows = [(name, size * fields, files * fields) for name, (size, files) in FORMS.items()]
    rows.append(("tables of shards", fields * (MEASURED.row_bytes + 23), tables))
    rows.append(("predictions.csv and notes", fields * MEASURED.row_bytes, 3 * setup.plates))
    rows.append(("all of these", sum(row[1] for row in rows), sum(row[2] for row in rows)))
    rows.append(("besides with `--to ome-zarr`, 3 planes", ZARR[0] * fields, ZARR[1] * fields))
    rows.append(("images that are read, 1 plane", MEASURED.plane_bytes * fields, fields))
    return rows


# Printing ------------------------------------------------------------------------------------------


def table(titles, rows):
    """A table in Markdown."""
    print("| " + " | ".join(titles) + " |")
    print("|" + "---|" * len(titles))
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |")
    print()


def number(value):
    """Three digits that count, with commas."""
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{round(value, 2 - math.floor(math.log10(abs(value)))):,.{digits}f}"


def bytes_text(value):
    """Bytes in words."""
    for unit, size in (("PB", 1e15), ("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if value >= size:
            return f"{number(value / size)} {unit}"
    return f"{number(value)} B"


def percent(share):
    """A share as a percentage."""
    return f"{100 * share:.0f} %"


TITLES = ["hours", "node-hours", "slots at fields", "at starts", "waiting for storage", "idle", "MB/s, mean",
          "operations/s, mean", "price a plate"]


def figures(result):
    """The cells of a result under `TITLES`."""
    return [number(result["hours"]), number(result["node_hours"]), percent(result["used"]),
            percent(result["listing"]), percent(result["waiting"]), percent(result["idle"]),
            number(result["mean_bytes"] / 1e6),
            number(result["mean_ops"]), f"{result['price']:.2f}"]


def compare(title, base, column, variants):
    """A table of runs that differ in something."""
    print(f"### {title}\n")
    rows = [[name] + figures(summary(dataclasses.replace(base, **changes))) for name, changes in variants]
    table([column] + TITLES, rows)


def print_storage(setup):
    """The table of bytes and files."""
    print("### What lies on the disk\n")
    rows = storage(setup)
    table(["form", "bytes", "files"], [(name, bytes_text(size), f"{files:,}") for name, size, files in rows])


def print_failures(base):
    """The table of failures and time limits."""
    print("### Failures and time limits\n")
    local, hours = {"local": True, "shards": 1}, {"limit_s": 4 * HOUR}
    free = {"metadata": math.inf, "bandwidth": math.inf}
    variants = [("no failures", {"failures": 0}), ("one in 2,000 node-hours", {}),
                ("one in 200", {"failures": 1 / 200}),
                ("one in 200, 16 shards a plate", {"failures": 1 / 200, "shards": 16}),
                ("one in 200, archives of plates", {"failures": 1 / 200, **local}),
                ("a storage without limits, no failures", {"failures": 0, **free}),
                ("the same, one in 200", {"failures": 1 / 200, **free}),
                ("the same, one in 20", {"failures": 1 / 20, **free}),
                ("limit of 4 h", hours), ("limit of 4 h, 4 shards a plate", {"shards": 4, **hours})]
    rows = []
    for name, changes in variants:
        result = summary(dataclasses.replace(base, **changes))
        rows.append([name, number(result["hours"]), number(result["node_hours"]), f"{result['kills']:,}",
                     f"{result['limits']:,}", f"{result['price']:.2f}"])
    table(["what happens", "hours", "node-hours", "tasks killed by nodes", "by the limit", "price a plate"], rows)


def print_one_command(base):
    """What one command over all plates would cost each shard before its first field."""
    print("### One command over all plates\n")
    rows = []
    for plates in (1, 10, 100, 1000, 10_000):
        setup = dataclasses.replace(base, plates=plates, layout="one", shards=1600)
        run = Cluster(dataclasses.replace(setup, plates=1, shards=1, nodes=1, slots=1))
        run.setup = setup
        seconds, size, ops = run.start_phase(Work(0, 1, 1, 1))
        fields = plates * setup.fields
        per_shard = fields / setup.shards
        saved = per_shard * per_shard / 2 * MEASURED.row_bytes
        rows.append([f"{plates:,}", f"{fields:,}", number(seconds / HOUR), bytes_text(fields * MEASURED.list_memory),
                     number(ops * setup.shards / setup.metadata / HOUR), bytes_text(size * setup.shards),
                     bytes_text(saved * setup.shards)])
    table(["plates", "fields", "hours until a shard's first field", "memory for the list, a process",
           "hours of the metadata server for 1,600 lists", "tables and weights read at the start, all shards",
           "tables written at most, all shards"], rows)


def print_status(base):
    """How long `status` and `merge` take."""
    print("### `status` and `merge`\n")
    rows = []
    for name, fields in (("a plate", base.fields), ("100 plates, one after the other", 100 * base.fields),
                         ("10,000 plates, one after the other", 10_000 * base.fields)):
        cells = [name]
        for local, ops in ((MEASURED.status_s, MEASURED.status_ops), (MEASURED.merge_s, MEASURED.merge_ops)):
            cells += [number(fields * local), number(fields * (local + ops * base.latency_s))]
        rows.append(cells)
    table(["fields of", "`status`, local disk, s", "network, s", "`merge`, local disk, s", "network, s"], rows)


def print_limits(base):
    """At how many plates or nodes each limit is met."""
    print("### Where it breaks first\n")
    files = sum(row[2] for row in storage(dataclasses.replace(base, plates=1))[:-3])
    size = sum(form[0] for form in FORMS.values()) * base.fields
    images = MEASURED.plane_bytes * base.fields
    rows = [("files, 1.0 million: TIFF", f"{1e6 / files:,.0f} plates"),
            ("files, 1.0 million: TIFF and `--to ome-zarr`", f"{1e6 / (files + ZARR[1] * base.fields):.1f} plates"),
            ("files, 1.0 million: an archive a plate", "1,000,000 plates"),
            ("space, 20 TB: images of 1 plane", f"{20e12 / images:,.0f} plates"),
            ("space, 20 TB: results, TIFF", f"{20e12 / size:,.0f} plates"),
            ("tasks of a Slurm array, 1,000", f"{1000 // base.shards:,} plates with {base.shards} shard each")]
    for name, encoder in (("VGG16", "vgg16"), ("MobileNetV2", "mobilenet-v2")):
        for way, changes in (("TIFF on the share", {}), ("archives", {"local": True, "shards": 1})):
            one = dataclasses.replace(base, encoder=encoder, nodes=1, speed_sigma=0.0, slow_share=0.0, **changes)
            run = Cluster(one)
            seconds, size, ops = run.field_phase(Work(0, one.fields / one.shards, 1, 1), 0)
            # Starts and joins belong to fields, too.
            begin = run.start_phase(Work(0, 1, 1, 1))[2] * one.shards / one.fields
            begin += MEASURED.merge_ops if run.has_merges() else 0
            slots = one.slots / seconds
            most = one.metadata / (slots * (ops + begin)), one.bandwidth / (slots * size)
            rows.append((f"{one.metadata:,.0f} operations/s: {name}, {way}", f"{most[0]:,.0f} nodes"))
            rows.append((f"{one.bandwidth / 1e9:.0f} GB/s: {name}, {way}", f"{most[1]:,.0f} nodes"))
    table(["limit", "is met at"], rows)


def print_tables(base):
    """All tables of docs/scale.md."""
    local = {"local": True, "shards": 1}
    fast = {"encoder": "mobilenet-v2"}
    print_limits(base)
    compare("10,000 plates on 100 nodes", base, "network", [
        ("VGG16", {}), ("VGG16, archives of plates", local),
        ("VGG16, bf16", {"encoder": "vgg16-bf16"}), ("VGG16, no AVX-512", {"encoder": "vgg16-avx2"}),
        ("VGG16, 3 planes", {"planes": 3}), ("VGG16, 3 planes, `--to ome-zarr`", {"zarr": True, "planes": 3}),
        ("MobileNetV2", fast), ("MobileNetV2, archives of plates", {**fast, **local}),
        ("MobileNetV2, 3 planes, archives of plates", {**fast, **local, "planes": 3})])
    compare("From 100 plates to 10,000", base, "plates", [
        ("100, 16 shards a plate", {"plates": 100, "shards": 16}), ("1,000, 2 shards a plate", {"plates": 1000, "shards": 2}),
        ("1,000, archives of plates", {"plates": 1000, **local}),
        ("10,000, 1 shard a plate", {}), ("10,000, archives of plates", local)])
    print_storage(base)
    compare("Shards a plate: 10,000 plates", base, "shards",
            [(f"{n} ({n * base.plates:,} tasks)", {"shards": n}) for n in (1, 2, 4, 16)])
    few = dataclasses.replace(base, plates=100)
    compare("Shards a plate: 100 plates", few, "shards",
            [(f"{n} ({n * few.plates:,} tasks)", {"shards": n}) for n in (1, 4, 8, 16, 32, 96)])
    caps = [("no limit", {"metadata": math.inf, "bandwidth": math.inf}), ("29,000 operations/s, 10 GB/s", {}),
            ("100,000 operations/s, 10 GB/s", {"metadata": 100_000.0}),
            ("12,000 operations/s, 10 GB/s", {"metadata": 12_000.0}),
            ("the same, every call reaches the server", {"metadata": 12_000.0, "cached": False}),
            ("the same, archives of plates", {"metadata": 12_000.0, **local}),
            ("1,500 operations/s, 10 GB/s", {"metadata": 1500.0}), ("29,000 operations/s, 1 GB/s", {"bandwidth": 1e9})]
    compare("What the shared storage bears: VGG16", base, "storage", caps)
    compare("What the program could spare: VGG16", base, "what", [
        ("as it is", {}), ("tables saved every 60 s", {"save_every_s": 60.0}),
        ("and no deleting of 11 files that are not there", {"save_every_s": 60.0, "spared_ops": 11})])
    compare("Nodes: MobileNetV2, 1,000 plates", dataclasses.replace(base, plates=1000, shards=2, **fast), "nodes",
            [(f"{n}", {"nodes": n}) for n in (10, 30, 100)])
    print_failures(base)
    print_one_command(base)
    print_status(base)


# Checks --------------------------------------------------------------------------------------------


def plain(**changes):
    """A cluster without variance, overhead, failures or limits of storage."""
    quiet = {"crowding": 1.0, "speed_sigma": 0.0, "slow_share": 0.0, "field_cv": 0.0, "failures": 0.0,
             "dispatch_s": 0.0, "latency_s": 0.0, "bandwidth": math.inf, "metadata": math.inf, "merges": False}
    return Setup(**{**quiet, **changes})


def is_near(found, expected, what, within=1e-6):
    """Fails where two figures differ."""
    if abs(found - expected) > within * max(1.0, abs(expected)):
        sys.exit(f"{what}: {found} where {expected} is right")
    print(f"as it should be: {what}")


def is_true(claim, what):
    """Fails where a claim does not hold."""
    if not claim:
        sys.exit(f"wrong: {what}")
    print(f"as it should be: {what}")


def check_time():
    """Time is work over slots, and more where there is more to do."""
    field = ENCODERS["vgg16"][0] + MEASURED.handling_s
    one = plain(plates=1, shards=1, nodes=1, slots=1, fields=1000)
    start = 1000 * MEASURED.list_s
    is_near(summary(one)["hours"] * HOUR, start + 1000 * field, "one shard alone takes its start and its fields")
    many = dataclasses.replace(one, plates=40, nodes=5, slots=4)
    is_near(summary(many)["hours"] * HOUR, 2 * (start + 1000 * field), "without variance, time is work over slots")
    is_near(summary(many)["done"], 40_000, "every field is done once")
    cut = dataclasses.replace(one, shards=10)
    is_near(summary(cut)["hours"] * HOUR, 10 * start + 1000 * field, "each shard lists the whole plate")
    two = dataclasses.replace(one, shards=2, nodes=2)
    took = summary(two, speeds=[1.0, 0.5])["hours"] * HOUR
    is_near(took, start + 500 * field / 0.5, "the slower node decides when all is done")
    sizes = shard_sizes(3456, 7)
    is_true(sum(sizes) == 3456 and max(sizes) - min(sizes) <= 1, "shards differ by one field at most")
    later = dataclasses.replace(one, dispatch_s=7.0, latency_s=0.001)
    ops = 1000 * MEASURED.list_ops_once + MEASURED.shard_ops
    own = MEASURED.read_ops + MEASURED.write_ops_once + MEASURED.table_ops * field / MEASURED.table_every_s
    expected = start + 7 + ops * 0.001 + 1000 * (field + own * 0.001)
    is_near(summary(later)["hours"] * HOUR, expected, "operations take their time one after the other")


def check_storage():
    """Storage is the sum of its forms, and its limits bind."""
    setup = plain(plates=20, shards=3, fields=100)
    rows = storage(setup)
    end = [row[0] for row in rows].index("all of these")
    is_near(rows[end][1], sum(row[1] for row in rows[:end]), "bytes are the sum of their forms")
    is_near(rows[end][2], 4 * 2000 + 20 * 4 + 20 * 3, "files are the sum of their forms")
    slow = plain(plates=64, shards=1, nodes=8, slots=8, fields=3456)
    free = summary(slow)
    tight = summary(dataclasses.replace(slow, bandwidth=free["peak_bytes"] / 50))
    is_near(tight["bytes"], free["bytes"], "a narrow storage moves as many bytes")
    low = free["bytes"] / (free["peak_bytes"] / 50)
    is_near(tight["hours"] * HOUR, low, "a narrow storage takes bytes over bandwidth", 1e-3)
    few = summary(dataclasses.replace(slow, metadata=100.0))
    is_near(few["hours"] * HOUR, few["ops"] / 100.0, "so does a slow metadata server with operations", 1e-3)


def check_failures():
    """Failures and limits only add, by as much as can be told."""
    field = ENCODERS["vgg16"][0] + MEASURED.handling_s
    one = plain(plates=1, shards=1, nodes=1, slots=1, fields=1000, repair_s=600.0, requeue_s=60.0)
    start = 1000 * MEASURED.list_s
    struck = summary(one, breaks=[(start + 100.5 * field, 0)])
    expected = start + 1000 * field + 0.5 * field + 600 + MEASURED.lease_s + start
    is_near(struck["hours"] * HOUR, expected, "a failure costs repair, lease, list and half a field")
    is_near(struck["done"], 1000, "a failure loses no field that is done")
    limited = summary(dataclasses.replace(one, limit_s=2000.0, resubmit_s=10.0))
    is_true(limited["limits"] >= 1 and limited["done"] == 1000, "what a time limit ends is done later")
    calm = plain(plates=200, shards=2, nodes=10, slots=4)
    rough = dataclasses.replace(calm, failures=1 / 20)
    quiet, failed = summary(calm), summary(rough)
    is_true(failed["hours"] > quiet["hours"] and failed["kills"] > 0, "failures only add")
    is_near(failed["done"], quiet["done"], "with failures as many fields are done")
    away = summary(dataclasses.replace(rough, local=True, shards=1))
    is_near(away["done"], quiet["done"], "archives lose no plate to failures")
    is_true(away["hours"] > quiet["hours"], "but what a node had done of it")
    is_true(summary(rough) == summary(rough), "the same seed gives the same result")
    is_true(summary(dataclasses.replace(rough, seed=2)) != failed, "another seed gives another one")
    merged = summary(dataclasses.replace(rough, merges=True))
    is_true(merged["merged"] == 200, "every plate is joined once")


def parse():
    """The options: every field of `Setup` that is one number or word."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", action="store_true", help="print all tables of docs/scale.md")
    parser.add_argument("--check", action="store_true", help="run the cases that can be told on paper")
    base = Setup()
    choices = {"encoder": sorted(ENCODERS), "layout": ["plates", "one"]}
    for field in dataclasses.fields(Setup):
        default = getattr(base, field.name)
        name = "--" + field.name.replace("_", "-")
        if isinstance(default, bool):
            parser.add_argument(name, action=argparse.BooleanOptionalAction, default=default)
        else:
            parser.add_argument(name, type=type(default), default=default, choices=choices.get(field.name),
                                help=f"default {default}")
    return parser.parse_args()


def main():
    """Prints what was asked for."""
    options = vars(parse())
    tables, check = options.pop("tables"), options.pop("check")
    setup = Setup(**options)
    if check:
        for one in (check_time, check_storage, check_failures):
            one()
    elif tables:
        print_tables(setup)
    else:
        result = summary(setup)
        table(TITLES, [figures(result)])
        print(f"{result['done']:,.0f} fields, {result['kills']:,} tasks killed by nodes and {result['limits']:,} by "
              f"time limits; at most {number(result['peak_ops'])} operations/s and "
              f"{number(result['peak_bytes'] / 1e9)} GB/s were asked for\n")
        print_storage(setup)


if __name__ == "__main__":
    main()
