"""How many captions a second `seesay serve` gives to 1, 8 and 32 clients, and how long they wait: side by side with
the same model called one at a time, and with a plain FastAPI server over transformers. And 10,000 requests, counted.

    python bench/server.py [--size small|base] [--seconds 20] [--clients 1 8 32] [--requests 10000] [--page FILE]

Weights are random (`random_blip` of bench/blip_base.py, at the size that is asked for): time does not depend on them.
Every picture is another one, so that nothing is remembered. Contenders take turns, a round for each number of clients,
so that what else the machine does strikes all alike: look at the ratios. The plain server is what one writes first: an
endpoint that decodes a picture and calls `generate`, in FastAPI's own pool of threads, one caption at a time by a lock.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

import numpy as np
from fastapi import FastAPI, Request
from PIL import Image

import seesay
from pages import write_into
from traffic import Picture, Traffic

SIZES = {
    "small": {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 6, "intermediate_size": 1536},
    "base": {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072},
}
SIDE = {"small": 224, "base": 384}
TOKENS = 12
BEGIN, END = "<!-- server: table, written by bench/server.py -->", "<!-- server: end -->"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--folder", type=Path, default=Path("/tmp/seesay-bench-server"))
    parser.add_argument("--page", type=Path, default=None, help="where the table is written between its marks")
    parser.add_argument("--plain", type=int, metavar="PORT", help=argparse.SUPPRESS)
    options = parser.parse_args()
    folder = options.folder / options.size
    if options.plain:
        plain_server(folder, options.plain)
        return
    if not (folder / "config.json").exists():
        make_model(options.size, folder)
    if options.seconds:
        table = []
        for line in throughput(folder, options):
            print(line, flush=True)
            table.append(line)
        if options.page:
            write_into(options.page, BEGIN, END, "\n".join(table))
    if options.requests:
        counted(options.requests, options.folder)


# ---------------------------------------------------------------------------------------------------------- contenders


def make_model(size: str, folder: Path) -> None:
    """A random BLIP of this size, of the public layout: both servers read it."""
    import torch
    import transformers

    torch.manual_seed(0)
    tower = SIZES[size]
    config = transformers.BlipConfig(
        text_config={**tower, "encoder_hidden_size": tower["hidden_size"]},
        vision_config={**tower, "image_size": SIDE[size], "patch_size": 16},
    )
    model = transformers.BlipForConditionalGeneration(config).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() > 1:
                weight.normal_(0, weight[0].numel() ** -0.5)
            elif name.endswith("weight"):
                weight.normal_(1, 0.1)
        model.text_decoder.cls.predictions.bias[102] = -30  # [SEP]: every caption is as long as it may be
    model.save_pretrained(folder)
    words = ["[PAD]", *(f"[unused{n}]" for n in range(99)), "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words += [f"word{n}" for n in range(30522 - len(words))]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")


def plain_server(folder: Path, port: int) -> None:
    """The server that one writes first."""
    import torch
    import transformers
    import uvicorn

    model = transformers.BlipForConditionalGeneration.from_pretrained(folder).eval()
    side = model.config.vision_config.image_size
    app, lock = FastAPI(), threading.Lock()

    def caption(body: bytes) -> list[int]:
        image = Image.open(io.BytesIO(body)).convert("RGB").resize((side, side), Image.Resampling.BICUBIC)
        pixels = torch.from_numpy((np.asarray(image, np.float32) / 255 - 0.45) / 0.27).permute(2, 0, 1)[None]
        with lock, torch.inference_mode():
            out = model.generate(pixel_values=pixels, num_beams=3, do_sample=False, max_new_tokens=TOKENS)
        return [int(token) for token in out[0]]

    @app.post("/v1/caption")
    async def captioned(request: Request) -> dict[str, list[int]]:
        from starlette.concurrency import run_in_threadpool

        return {"caption": await run_in_threadpool(caption, await request.body())}

    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")


@contextmanager
def process(*arguments: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A server in a process of its own, once it answers."""
    started = subprocess.Popen([sys.executable, *arguments], env=dict(os.environ) | {"SEESAY_OFFLINE": "1"})
    while True:
        try:
            status, said = post(HTTPConnection("127.0.0.1", port, timeout=300), drawn(0))
            assert status == 200, said
            break
        except OSError:
            assert started.poll() is None
            time.sleep(0.2)
    try:
        yield started
    finally:
        started.send_signal(signal.SIGTERM)
        started.wait()


# ---------------------------------------------------------------------------------------------------------- throughput


def throughput(folder: Path, options: argparse.Namespace) -> Iterator[str]:
    model = seesay.load(folder, precision="fp32")
    serve = ("-m", "seesay", "serve", "--model", str(folder), "--precision", "fp32", "--port", "8611")
    plain = (__file__, "--size", options.size, "--folder", str(options.folder), "--plain", "8612")
    with process(*serve, port=8611), process(*plain, port=8612):
        contenders: dict[str, Callable[[int], list[float]]] = {
            "one at a time": lambda _: in_process(model, options.seconds),
            "FastAPI + transformers": lambda clients: over_http(8612, clients, options.seconds),
            "seesay serve": lambda clients: over_http(8611, clients, options.seconds),
        }
        yield (
            f"A {options.size} BLIP, {SIDE[options.size]} px, {TOKENS} tokens, beam 3, fp32, {os.cpu_count()} "
            f"processors, {options.seconds:.0f} s each, load {os.getloadavg()[0]:.1f}:\n"
        )
        yield "| clients | | captions a second | times plain | half within | 99 % within |"
        yield "|---|---|---|---|---|---|"
        for clients in options.clients:
            found = {name: run(clients) for name, run in contenders.items()}
            assert all(found.values()), "nothing was finished in this time: give more --seconds"
            rates = {name: len(times) / options.seconds for name, times in found.items()}
            for name, times in found.items():
                ratio = rates[name] / rates["FastAPI + transformers"]
                half, most = statistics.median(times), sorted(times)[min(len(times) - 1, int(len(times) * 0.99))]
                yield f"| {clients} | {name} | {rates[name]:.2f} | {ratio:.2f} | {half:.2f} s | {most:.2f} s |"


def in_process(model: seesay.Describer, seconds: float) -> list[float]:
    """Seconds that each caption took, one after another, of those that were finished in time."""
    times: list[float] = []
    end = time.perf_counter() + seconds
    while (start := time.perf_counter()) < end:
        model.caption(drawn(next_number()), max_new_tokens=TOKENS)
        times.append(time.perf_counter() - start)
    return times


def over_http(port: int, clients: int, seconds: float) -> list[float]:
    """The same for so many clients, each of which asks again as soon as it is answered."""
    end = time.perf_counter() + seconds

    def client(_: int) -> list[float]:
        times: list[float] = []
        connection = HTTPConnection("127.0.0.1", port, timeout=600)
        while (start := time.perf_counter()) < end:
            status, said = post(connection, drawn(next_number()))
            assert status == 200, said
            if time.perf_counter() < end:
                times.append(time.perf_counter() - start)
        connection.close()
        return times

    with ThreadPoolExecutor(clients) as threads:
        return [time for times in threads.map(client, range(clients)) for time in times]


_numbers = iter(range(1, 10**9))


def next_number() -> int:
    return next(_numbers)


def drawn(number: int) -> bytes:
    """A JPEG of 320 x 240 pixels, another for each number."""
    small = np.random.default_rng(number).integers(0, 256, (6, 8, 3), np.uint8)
    data = io.BytesIO()
    Image.fromarray(small).resize((320, 240), Image.Resampling.BICUBIC).save(data, "jpeg")
    return data.getvalue()


def post(connection: HTTPConnection, body: bytes) -> tuple[int, bytes]:
    path = f"/v1/caption?max_tokens={TOKENS}"
    connection.request("POST", path, body, {"Content-Type": "image/jpeg"})
    answer = connection.getresponse()
    return answer.status, answer.read()


# ------------------------------------------------------------------------------------------------------------- counted


def counted(requests: int, folder: Path) -> None:
    """Requests of every manner to a tiny model, whose server is killed twice and ended twice meanwhile."""
    sys.path.append(str(Path(__file__).parents[1] / "tests"))
    from tiny_models import tiny_model

    tiny = folder / "tiny"
    if not tiny.exists():
        tiny_model(tiny, "caption")
    model = seesay.load(tiny, precision="fp32", threads=1)
    shown = [Picture(data, model.caption(data).text) for data in map(noise, range(200))]
    print(f"\n{len({one.caption for one in shown})} different captions of {len(shown)} pictures", flush=True)
    arguments = [sys.executable, "-m", "seesay", "serve", "--model", str(tiny), "--precision", "fp32", "--threads", "1"]
    arguments += ["--port", "8613", "--queue", "24"]
    started = subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True)
    wait_for(started)
    callers = Traffic(("127.0.0.1", 8613), shown, 32)
    ended: list[int] = []

    def disturb() -> None:
        nonlocal started
        for share, how in ((0.2, signal.SIGKILL), (0.4, signal.SIGTERM), (0.6, signal.SIGKILL), (0.8, signal.SIGTERM)):
            while callers.done < share * requests:
                time.sleep(0.05)
            started.send_signal(how)
            ended.append(started.wait())
            started = subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True)
            wait_for(started)

    disturbing = threading.Thread(target=disturb)
    disturbing.start()
    start = time.perf_counter()
    tally = callers.run(requests)
    disturbing.join()
    started.send_signal(signal.SIGTERM)
    started.wait()
    print(f"{tally}\nin {time.perf_counter() - start:.0f} s; ended by {ended}; faults: {tally.faults} {tally.odd[:3]}")


def noise(number: int) -> bytes:
    """A PNG of noise, another for each number."""
    data = io.BytesIO()
    Image.fromarray(np.random.default_rng(number).integers(0, 256, (40, 40, 3), np.uint8)).save(data, "png")
    return data.getvalue()


def wait_for(started: subprocess.Popen[str]) -> None:
    assert started.stderr is not None
    line = started.stderr.readline()
    assert re.search("Seesay is at", line), line


if __name__ == "__main__":
    main()
